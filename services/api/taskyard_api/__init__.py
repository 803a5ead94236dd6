"""Taskyard's HTTP API."""

from taskyard.lean_redis import lean_redis

lean_redis()  # redis-py is imported by many modules, and this one comes before all of them
