"""The leader's jobs, and how they run: at intervals, by APScheduler with its memory job store.

All loops of the leader survive every failure, back off, and log a failure once (`LeaderJob`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, TypeVar

import redis
import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from taskyard.backoff import Backoff
from taskyard.domain.errors import BrokerUnavailable, LedgerUnavailable
from taskyard.telemetry.metrics import Dependency
from taskyard.telemetry.reports import NO_REPORTS, Reports

from .leader import Leadership, LeadershipLost

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

# The share of an interval by which a job may come late, so that they do not all come at once.
_JITTER = 0.1
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0

LEDGER, REDIS = "ledger", "redis"


class Dependencies(NamedTuple):
    """The servers that the scheduler needs: a gauge and a log line for each change."""

    database: Dependency
    broker: Dependency


class LeaderJob:
    """Runs one piece of work again and again while this process leads, with a pause after each failure.

    An unreachable server is logged by its `Dependency`, once per change. Any other failure is logged, once until the
    work succeeds again: with its traceback, unless a server that answers others is to blame.
    """

    def __init__(
        self,
        name: str,
        leadership: Leadership,
        dependencies: Dependencies,
        *,
        reports: Reports = NO_REPORTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._leadership = leadership
        self._dependencies = dependencies
        self._reports = reports
        self._clock = clock
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._paused_until = 0.0
        self._logged: str | None = None
        self._is_in_doubt = False

    def run(self, work: Callable[[], T]) -> T | None:
        """What `work` returned; None where this process does not lead, the job pauses, or `work` failed."""
        if not self._leadership.leading or self._clock() < self._paused_until:
            return None
        began = time.monotonic()
        try:
            result = work()
        except LeadershipLost:
            return None  # logged by `Leadership`; nothing was written
        except LedgerUnavailable as e:
            self._unreached(self._dependencies.database, e, began)
        except (BrokerUnavailable, redis.RedisError) as e:
            self._unreached(self._dependencies.broker, e, began)
        except Exception as e:
            if self._logged != repr(e):
                self._logged = repr(e)
                log.exception("job_failed", job=self._name)
                self._reports.unexpected(e, job=self._name)
        else:
            if self._logged is not None:
                log.info("job_recovered", job=self._name)
            self._backoff.reset()
            self._logged = None
            self._is_in_doubt = False
            return result
        self._paused_until = self._clock() + self._backoff.next()
        return None

    def _unreached(self, server: Dependency, error: Exception, began: float) -> None:
        server.failed(error, began=began)
        if not server.is_up:
            self._is_in_doubt = False
        elif not self._is_in_doubt:
            # It has answered others since this call began: it may have gone away after that. The next attempt tells.
            self._is_in_doubt = True
        elif self._logged is None:
            # It answers others: a lock, for example, of which nothing else would tell.
            self._logged = repr(error)
            log.warning("job_failed", job=self._name, error=(str(error) or repr(error)).splitlines()[0])

    @property
    def pause_seconds(self) -> float:
        return max(0.0, self._paused_until - self._clock())


class Job(NamedTuple):
    """`uses`: the servers of whose pools it needs a connection."""

    name: str
    interval_seconds: float
    work: Callable[[], object]
    uses: AbstractSet[str] = frozenset()
    leader_only: bool = True


def names_of(jobs: Sequence[Job], server: str) -> list[str]:
    return [job.name for job in jobs if server in job.uses]


class IntervalJobs:
    """Each job has a thread of its own, so that a slow one delays no other."""

    def __init__(
        self,
        jobs: Sequence[Job],
        leadership: Leadership,
        dependencies: Dependencies,
        reports: Reports = NO_REPORTS,
    ) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(len(jobs))},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        for name, seconds, work, _, leader_only in jobs:
            run = partial(LeaderJob(name, leadership, dependencies, reports=reports).run, work) if leader_only else work
            self._scheduler.add_job(run, "interval", seconds=seconds, jitter=seconds * _JITTER, id=name, name=name)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Waits for jobs under way."""
        self._scheduler.shutdown(wait=True)

    def run_now(self) -> None:
        """Makes every job due, at the beginning of a term."""
        for job in self._scheduler.get_jobs():
            self._scheduler.modify_job(job.id, next_run_time=datetime.now(UTC))
