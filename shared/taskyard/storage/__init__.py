"""Storage of files: a local directory, behind an interface that fits object storage."""
