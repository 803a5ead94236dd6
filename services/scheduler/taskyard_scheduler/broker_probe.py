"""Probes whether Redis answers this process, leader or standby."""

from __future__ import annotations

import time

import redis
import structlog

from taskyard.telemetry.metrics import Dependency

log = structlog.stdlib.get_logger(__name__)

# A single late ping says little.
_FAILURES = 2


class BrokerProbe:
    """`turn` sends one ping, with a client whose time-outs are short; `is_reachable` is the result of the last ones.

    `broker` is told of it: nothing else of a standby asks Redis, and its metric would stay at 0.
    """

    def __init__(self, client: redis.Redis, broker: Dependency) -> None:
        self._client = client
        self._broker = broker
        self._failures = 0

    @property
    def is_reachable(self) -> bool:
        return self._failures < _FAILURES

    def turn(self) -> None:
        before, began = self.is_reachable, time.monotonic()
        try:
            self._client.ping()
        except redis.RedisError as e:
            self._failures += 1
            if not self.is_reachable:
                self._broker.failed(e, began=began)
            if before and not self.is_reachable:
                log.warning("broker_out_of_reach", error=str(e))
        else:
            self._failures = 0
            self._broker.answered()
            if not before:
                log.info("broker_in_reach")
