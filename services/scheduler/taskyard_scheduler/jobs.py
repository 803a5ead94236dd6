"""The leader's interval jobs, run by APScheduler with its memory job store.

`Work` builds every part once; user schedules will be one more of them, with a job that fires what is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine

from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue.types import Catalogue
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.workers import ensure_queues
from taskyard.settings import Settings
from taskyard.telemetry.metrics import Metrics

from .contact import Contact
from .depth import Depth
from .ground import Ground
from .guard import Guard
from .inventory import Inventory
from .leader import Leadership
from .maintenance import BrokerWatch, Maintenance
from .metrics import SchedulerMetrics
from .promotion import Promotion
from .reconcile import Missing, Rebuild
from .relay import Relay
from .rescue import Rescue
from .retention import Retention
from .throughput import Throughput

# The share of an interval by which a job may come late, so that they don't all come together.
_JITTER = 0.1


class Work:
    """All that the leader does. While this process is a standby every job returns at once, but for those that look
    whether it could lead."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        client: redis.Redis,
        leadership: Leadership,
        ground: Ground,
        metrics: Metrics,
        catalogue: Catalogue,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._queues = settings.queues
        self._clock = clock
        self.database = metrics.dependency("database")
        self.broker = metrics.dependency("redis")
        names = Names(settings.namespace)
        publisher = make_publisher(settings.redis_url.get_secret_value(), names)
        self._publishing = publisher.client
        lease = timedelta(seconds=settings.worker_lease_seconds)
        depth = Depth(leadership, lambda: self.metrics, lease=lease, clock=clock)
        self.metrics = SchedulerMetrics(
            metrics,
            catalogue,
            settings.queues,
            leads=lambda: leadership.leading,
            knows_depth=depth.is_known,
        )
        self.dispatcher = Dispatcher(engine, publisher)
        self.contact = Contact(publisher.client)
        inventory = Inventory(client, names)
        self.relay = Relay(leadership, publisher, ground, self.metrics)
        self.rebuild = Rebuild(leadership, publisher, ground, inventory, self.metrics, self.broker)
        maintenance = Maintenance(
            leadership,
            client,
            names,
            settings.queues,
            silence=timedelta(seconds=settings.worker_lease_seconds),
            clock=clock,
        )
        missing = Missing(
            leadership,
            self.dispatcher,
            ground,
            inventory,
            self.metrics,
            wait_for=lambda: self.relay.backlog or self.rebuild.is_needed,
            clock=clock,
        )
        rescue = Rescue(
            leadership,
            self.dispatcher,
            ground,
            self.metrics,
            lease=lease,
            crash_limit=settings.crash_limit,
        )
        self.promotion = Promotion(leadership, self.dispatcher, client, names, self.metrics, guard=self._guard)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(12)},  # one a job: a slow one must not keep others waiting
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        self.ticked = clock()
        """When an interval job last turned."""
        self._asked = clock()
        self._add("tick", 1.0, self._tick)
        self._add("contact", 0.5, self.contact.turn)
        self._add("queues", 60.0, self._ensure_queues)
        self._add("rebuild", 1.0, self.rebuild.turn)
        self._add("relay", 1.0, self.relay.turn)
        self._add("rescue", 1.0, rescue.turn)
        self._add("missing", 2.0, missing.turn)
        self._add("depth", 5.0, depth.turn)
        self._add("throughput", 5.0, Throughput(leadership, ground).turn)
        self._add("broker", 5.0, BrokerWatch(client, self.metrics, on_restart=maintenance.search_soon).turn)
        self._add("maintenance", 10.0, maintenance.turn)
        self._add("retention", 3600.0, Retention(leadership).turn)

    def start(self) -> None:
        self.dispatcher.start()
        self.promotion.start()
        self._scheduler.start()

    def stop(self) -> None:
        """Ends all loops; what a job has under way it finishes, unless that needs a lease by now."""
        self._scheduler.shutdown(wait=True)
        self.promotion.stop()
        self.dispatcher.stop()
        self._publishing.close()

    def begin(self) -> None:
        """A term begins: every job is due now."""
        for job in self._scheduler.get_jobs():
            self._scheduler.modify_job(job.id, next_run_time=datetime.now(UTC))

    def stuck(self, *, after_seconds: float) -> str | None:
        """Which loop has not turned for so long, or None; to be asked once a second or so.

        Where nobody asked for half that time, the whole process was stopped (SIGSTOP, a frozen container): its loops
        begin afresh, for whoever wakes up first would find all others late.
        """
        now = self._clock()
        asked, self._asked = self._asked, now
        if now - asked > after_seconds / 2:
            self.ticked = self.promotion.turned = now
        if now - self.ticked > after_seconds:
            return "jobs"
        if now - self.promotion.turned > after_seconds:
            return "promotion"
        return None

    def _guard(self, name: str, work: Callable[[], None]) -> Guard:
        return Guard(name, work, self._leadership, database=self.database, broker=self.broker, clock=self._clock)

    def _add(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        job: Any = work if name in {"tick", "contact"} else self._guard(name, work)  # standbys turn these, too
        self._scheduler.add_job(job, "interval", seconds=seconds, jitter=seconds * _JITTER, id=name, name=name)

    def _tick(self) -> None:
        self.ticked = self._clock()
        self.metrics.last_tick.set_to_current_time()

    def _ensure_queues(self) -> None:
        """Passes over all queues go by the table of queues; it must have them all."""
        self._leadership.write(lambda conn: ensure_queues(conn, self._queues))
