"""Probes whether Redis answers this process, leader or standby."""

from __future__ import annotations

import time

import redis

from taskyard.telemetry.metrics import Dependency

# A single late ping says little.
_FAILURES = 2


class BrokerProbe:
    """`turn` sends one ping, with a client whose time-outs are short; `is_reachable` is the result of the last ones.

    A standby asks Redis for nothing else, so that `dependency` shows by this alone whether it could lead.
    """

    def __init__(self, client: redis.Redis, dependency: Dependency) -> None:
        self._client = client
        self._dependency = dependency
        self._failures = 0

    @property
    def is_reachable(self) -> bool:
        return self._failures < _FAILURES

    def turn(self) -> None:
        began = time.monotonic()
        try:
            self._client.ping()
        except redis.RedisError as e:
            self._failures += 1
            if not self.is_reachable:
                self._dependency.failed(e, began=began)
        else:
            self._failures = 0
            self._dependency.answered()
