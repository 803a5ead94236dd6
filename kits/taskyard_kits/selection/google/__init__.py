"""Google Sheets: the service account's token, the calls, and the tabs that runs make."""
