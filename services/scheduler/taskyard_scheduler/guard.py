"""What every loop of the leader has in common: it never dies, backs off, and says so once."""

from __future__ import annotations

import random
from collections.abc import Callable

import redis
import structlog

from taskyard.domain.errors import BrokerUnavailable, LedgerUnavailable
from taskyard.telemetry.metrics import Dependency

from .leader import Leadership, LeadershipLost

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0


class Guard:
    """Runs one piece of work again and again, while this process leads.

    After a failure it rests: 0.25 s, doubling to 5 s, with jitter. A server that is away is logged by the
    `Dependency` where that changes; anything else with its traceback, once until the work succeeds again.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        leadership: Leadership,
        *,
        database: Dependency,
        broker: Dependency,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self._work = work
        self._leadership = leadership
        self._database = database
        self._broker = broker
        self._clock = clock
        self._pause = 0.0
        self._resting_until = 0.0
        self._said: str | None = None

    def __call__(self) -> bool:
        """One turn; whether the work was done."""
        if not self._leadership.leading or self._clock() < self._resting_until:
            return False
        try:
            self._work()
        except LeadershipLost:
            return False  # the campaign says so; nothing was written
        except LedgerUnavailable as e:
            self._database.failed(e)
        except (BrokerUnavailable, redis.RedisError) as e:
            self._broker.failed(e)
        except Exception as e:
            if self._said != repr(e):
                self._said = repr(e)
                log.exception("job_failed", job=self.name)
        else:
            if self._said is not None:
                log.info("job_recovered", job=self.name)
            self._pause, self._said = 0.0, None
            return True
        self._pause = min(max(FIRST_PAUSE_SECONDS, self._pause * 2), LONGEST_PAUSE_SECONDS)
        self._resting_until = self._clock() + self._pause * random.uniform(0.5, 1.0)
        return False

    @property
    def rest_seconds(self) -> float:
        return max(0.0, self._resting_until - self._clock())
