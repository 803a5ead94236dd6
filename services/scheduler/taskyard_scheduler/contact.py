"""Whether Redis answers this process, leader or standby."""

from __future__ import annotations

import redis
import structlog

log = structlog.stdlib.get_logger(__name__)

# A single ping that is late says little.
_FAILURES = 2


class Contact:
    """`turn` asks once, with a client that gives up soon; `reaches` is what the last answers say."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._failures = 0

    @property
    def reaches(self) -> bool:
        return self._failures < _FAILURES

    def turn(self) -> None:
        before = self.reaches
        try:
            self._client.ping()
        except redis.RedisError as e:
            self._failures += 1
            if before and not self.reaches:
                log.warning("broker_out_of_reach", error=str(e))
        else:
            self._failures = 0
            if not before:
                log.info("broker_in_reach")
