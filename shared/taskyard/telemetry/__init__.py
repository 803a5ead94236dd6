"""Logging and metrics: set-up and names."""
