"""The scheduler: one leader by a lease in PostgreSQL, any number of hot standbys."""

from taskyard import lean_imports

lean_imports.leave_out()
