"""The resources, one noun a file; each handler decodes, calls one verb, encodes."""
