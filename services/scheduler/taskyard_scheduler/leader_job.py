"""What all loops of the leader share: they survive every failure, back off, and log a failure once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import redis
import structlog

from taskyard.backoff import Backoff
from taskyard.domain.errors import BrokerUnavailable, LedgerUnavailable
from taskyard.telemetry.metrics import Dependency

from .leader import Leadership, LeadershipLost

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0


class Dependencies(NamedTuple):
    """The servers that the scheduler needs: a gauge and a log line for each change."""

    database: Dependency
    broker: Dependency


class LeaderJob:
    """Runs one piece of work again and again while this process leads, with a pause after each failure.

    An unreachable server is logged by its `Dependency`, once per change. Any other failure is logged with its
    traceback, once until the work succeeds again.
    """

    def __init__(
        self,
        name: str,
        leadership: Leadership,
        dependencies: Dependencies,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._leadership = leadership
        self._dependencies = dependencies
        self._clock = clock
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._paused_until = 0.0
        self._logged: str | None = None

    def run(self, work: Callable[[], T]) -> T | None:
        """What `work` returned; None where this process does not lead, the job pauses, or `work` failed."""
        if not self._leadership.leading or self._clock() < self._paused_until:
            return None
        try:
            result = work()
        except LeadershipLost:
            return None  # logged by `Leadership`; nothing was written
        except LedgerUnavailable as e:
            self._dependencies.database.failed(e)
        except (BrokerUnavailable, redis.RedisError) as e:
            self._dependencies.broker.failed(e)
        except Exception as e:
            if self._logged != repr(e):
                self._logged = repr(e)
                log.exception("job_failed", job=self._name)
        else:
            if self._logged is not None:
                log.info("job_recovered", job=self._name)
            self._backoff.reset()
            self._logged = None
            return result
        self._paused_until = self._clock() + self._backoff.next()
        return None

    @property
    def pause_seconds(self) -> float:
        """How long the pause still lasts."""
        return max(0.0, self._paused_until - self._clock())
