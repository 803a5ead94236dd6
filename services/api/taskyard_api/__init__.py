"""Taskyard's HTTP API."""
