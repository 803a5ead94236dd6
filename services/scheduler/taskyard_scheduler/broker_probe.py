"""Probes whether Redis answers this process, leader or standby."""

from __future__ import annotations

import redis
import structlog

log = structlog.stdlib.get_logger(__name__)

# A single late ping says little.
_FAILURES = 2


class BrokerProbe:
    """`turn` sends one ping, with a client whose time-outs are short; `is_reachable` is the result of the last ones."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._failures = 0

    @property
    def is_reachable(self) -> bool:
        return self._failures < _FAILURES

    def turn(self) -> None:
        before = self.is_reachable
        try:
            self._client.ping()
        except redis.RedisError as e:
            self._failures += 1
            if before and not self.is_reachable:
                log.warning("broker_out_of_reach", error=str(e))
        else:
            self._failures = 0
            if not before:
                log.info("broker_in_reach")
