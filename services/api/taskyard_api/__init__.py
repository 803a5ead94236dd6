"""Taskyard's HTTP API."""

from taskyard import lean_imports

lean_imports.leave_out()
