"""Taskyard's console: pages for people, made of what the HTTP API answers."""

from taskyard import lean_imports

lean_imports.leave_out()
