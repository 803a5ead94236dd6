"""The scheduler: one leader by a lease in PostgreSQL, any number of hot standbys."""
