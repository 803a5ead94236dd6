"""files.convert_document."""
