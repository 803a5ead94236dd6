"""files.import_data: rows of a stored file become records."""
