"""The resources, one noun per module. Each handler decodes, calls one verb, encodes."""
