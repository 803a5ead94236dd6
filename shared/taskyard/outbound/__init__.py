"""HTTP requests to addresses that callers give: to public ones, and to those that a setting allows."""
