"""Interval jobs, run by APScheduler with its memory job store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from .leader import Leadership
from .leader_job import Dependencies, LeaderJob

# The share of an interval by which a job may come late, so that they do not all come at once.
_JITTER = 0.1


LEDGER, REDIS = "ledger", "redis"


class Job(NamedTuple):
    """`uses`: the servers of whose pools it needs a connection."""

    name: str
    interval_seconds: float
    work: Callable[[], object]
    uses: AbstractSet[str] = frozenset()
    leader_only: bool = True


def names_of(jobs: Sequence[Job], server: str) -> list[str]:
    """The jobs that use `server`."""
    return [job.name for job in jobs if server in job.uses]


class IntervalJobs:
    """Each job has a thread of its own, so that a slow one delays no other."""

    def __init__(self, jobs: Sequence[Job], leadership: Leadership, dependencies: Dependencies) -> None:
        # A job that is still busy when it is due again is skipped; APScheduler would log that as a warning.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(len(jobs))},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        for name, seconds, work, _, leader_only in jobs:
            run = partial(LeaderJob(name, leadership, dependencies).run, work) if leader_only else work
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
