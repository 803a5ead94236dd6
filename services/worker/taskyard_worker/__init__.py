"""Taskyard's worker: a supervisor and its child processes."""

from taskyard import lean_imports

lean_imports.leave_out()
