"""The task types that Taskyard brings, a folder a kit. Its `__init__.py` is the manifest and imports no library."""
