"""Publishes what applications have submitted in their own transactions, as soon as they commit.

A loop in its own thread, not an interval job: it is woken by the notification of each commit. Where none arrives
(a pooler in between, a connection that broke), it looks every second.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import psycopg
import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from taskyard.backoff import Backoff
from taskyard.broker.publisher import Publisher
from taskyard.failpoints import failpoint
from taskyard.lifecycle import application_outbox as outbox
from taskyard.lifecycle.limits import hold_back
from taskyard.lifecycle.publish import Standing
from taskyard.store.submit_roles import CHANNEL

from .database_watch import DatabaseWatch
from .jobs import Dependencies, LeaderJob
from .leader import Leadership
from .loop_watch import LoopWatch
from .metrics import SchedulerMetrics

log = structlog.stdlib.get_logger(__name__)

LOOP = "applications"

_ROWS = 1000  # in one round trip to Redis, which must fit into the socket's time-out
_POLL_SECONDS = 1.0
_STANDBY_SECONDS = 0.2
_IDLE_SECONDS = 0.01
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0

LISTEN_TIMEOUT = timedelta(seconds=2)
"""For connecting to listen: nothing is relayed meanwhile. libpq has no shorter one."""


class ApplicationRelay:
    """One turn publishes and deletes all rows of transactions that have committed since the last one.

    After a crash in between they are published twice, and the claim absorbs the second message.
    """

    def __init__(
        self, leadership: Leadership, publisher: Publisher, database: DatabaseWatch, metrics: SchedulerMetrics
    ) -> None:
        self._leadership = leadership
        self._publisher = publisher
        self._database = database
        self._metrics = metrics
        self._term: tuple[int, int] | None = None
        self._seen = outbox.Seen()
        self.backlog = False
        """Whether the last turn left rows; reconcile waits for them."""

    def turn(self) -> int:
        """Returns how many tasks were published."""
        term = self._leadership.require_term()
        if self._term != (term.epoch, self._database.changes):
            # Another leader has looked meanwhile; another PostgreSQL may assign the same transaction ids again.
            self._term, self._seen = (term.epoch, self._database.changes), outbox.Seen()
        relayed = 0
        while self._leadership.leading:
            found = self._leadership.read(lambda conn: outbox.fresh(conn, self._seen, limit=_ROWS))
            self.backlog = bool(found.keys)  # stays so where Redis fails
            relayed += self._relay(found)
            if len(found.keys) < _ROWS:
                self._seen, self.backlog = found.seen, False
                break
        return relayed

    def _relay(self, found: outbox.Fresh) -> int:
        if found.keys:
            wakes = found.wakes_scheduler
            if found.limited:
                # Before any is published: a worker fetches none that may not run.
                wakes |= self._leadership.write(lambda conn: hold_back(conn, found.limited)).wakes_scheduler
            failpoint("relay_applications.before")
            self._publisher.publish(found.publications, found.changes, wake_scheduler=wakes)
            failpoint("relay_applications.published")
            self._leadership.write(lambda conn: outbox.delete(conn, found))
            failpoint("relay_applications.after")
        self._metrics.relayed.inc(len(found.publications))
        return len(found.publications)

    def standing(self, conn: Connection) -> Standing:
        return outbox.standing(conn, self._seen)


class CommitListener:
    """Waits for the notifications of commits, on a connection of its own. Without an engine nothing can be heard."""

    def __init__(self, engine: Engine | None, stopping: threading.Event) -> None:
        self._engine = engine
        self._stopping = stopping
        self._connection: Connection | None = None
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._polls = 0.0  # seconds of waiting until the next try to connect

    def wait(self, seconds: float) -> None:
        """Until a commit is notified, or for so long."""
        if self._engine is not None and self._connection is None and self._polls <= 0:
            self._connect(self._engine)
        if self._connection is None:
            self._polls -= seconds
            self._stopping.wait(seconds)
            return
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            for _ in driver.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.Error as e:
            self._lose(e)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError, psycopg.Error):
                connection.invalidate()
                connection.close()

    def _connect(self, engine: Engine) -> None:
        try:
            self._connection = engine.connect()
            self._connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        except (DBAPIError, psycopg.Error) as e:
            self._lose(e)
        else:
            self._backoff.reset()

    def _lose(self, error: Exception) -> None:
        self.close()
        self._polls = self._backoff.next()
        if self._backoff.failures == 1:
            log.warning("commits_unheard", error=str(getattr(error, "orig", error)).splitlines()[0])


class ApplicationLoop:
    """The thread."""

    def __init__(
        self,
        relay: ApplicationRelay,
        leadership: Leadership,
        engine: Engine | None,
        loops: LoopWatch,
        dependencies: Dependencies,
    ) -> None:
        self._relay = relay
        self._leadership = leadership
        self._loops = loops
        self._job = LeaderJob(LOOP, leadership, dependencies)
        self._stopping = threading.Event()
        self._listener = CommitListener(engine, self._stopping)
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * _POLL_SECONDS + 1)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._loops.turned(LOOP)
            if not self._leadership.leading:
                self._listener.close()  # what a standby does not read would pile up in PostgreSQL
                self._stopping.wait(_STANDBY_SECONDS)
                continue
            if not self._job.run(self._relay.turn):
                # PostgreSQL lets every role notify, and a flood of it must not keep the leader busy.
                self._stopping.wait(_IDLE_SECONDS)
            self._listener.wait(_POLL_SECONDS)
        self._listener.close()
