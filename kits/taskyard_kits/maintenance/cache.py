"""Entries of caches in Redis that would stay for ever."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import redis

from taskyard import TaskContext, TaskError
from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names

from .settings import MaintenanceSettings

_PATIENCE = timedelta(seconds=5)
_AT_ONCE = 1000
# In one step: a refresh that comes in between gives the entry a time to live.
_DELETE_IF_LASTING = "if redis.call('pttl', KEYS[1]) == -1 then return redis.call('unlink', KEYS[1]) end return 0"


class Removal:
    """`keys` is how many entries went so far."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self.keys = 0

    def remove_lasting(self, settings: MaintenanceSettings) -> None:
        """Removes the entries of our caches that have no time to live. Redis itself removes those whose time is over,
        and no other key of ours is a cache. Raises TaskError cache_unavailable."""
        try:
            with contextlib.closing(make_redis(settings.cache_address, socket_timeout=_PATIENCE)) as client:
                connection: Any = client
                delete = connection.register_script(_DELETE_IF_LASTING)
                for key in connection.scan_iter(match=Names(settings.namespace).models("*"), count=_AT_ONCE):
                    self._context.check_cancelled()
                    self.keys += int(delete(keys=[key]))
        except redis.RedisError as e:
            raise TaskError("cache_unavailable") from e
