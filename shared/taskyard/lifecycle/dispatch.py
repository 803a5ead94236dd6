"""The dispatcher: a thread in every process that commits, which announces at once what was committed.

It never holds a caller up: it takes what was committed from a bounded queue, announces everything that came together in
one round trip, and deletes the outbox rows soon after. What Redis did not take is kept for some seconds and tried
again. What is older, or too much to keep, is dropped here: its outbox rows stay, and the scheduler relays them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Engine

from ..backoff import Backoff
from ..broker.publisher import Publisher
from ..domain.errors import BrokerUnavailable, LedgerUnavailable
from ..failpoints import failpoint
from ..store import ledger
from .committed import Committed, together
from .publish import delete

log = structlog.stdlib.get_logger(__name__)

_MAX_WAITING = 8192
_MAX_BATCH = 1000
_MAX_PUBLICATIONS = 4096  # in one round trip, which must fit into the socket's time-out
_MAX_KEPT = 8192  # publications that wait for another try
_GATHER_SECONDS = 0.002
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

Waiting = tuple[float, Committed[Any]]  # since when (monotonic)


class Dispatcher:
    def __init__(
        self,
        engine: Engine,
        publisher: Publisher,
        *,
        delete_within: timedelta = timedelta(milliseconds=300),
        keep_for: timedelta = timedelta(seconds=8),
    ) -> None:
        """`keep_for`: how long after its commit something may be tried again; shorter than the age at which the
        relay takes it up, or it would be published by both."""
        self._engine = engine
        self._publisher = publisher
        self._delete_within = delete_within.total_seconds()
        self._keep_for = keep_for.total_seconds()
        self._waiting: queue.Queue[Waiting | None] = queue.Queue(_MAX_WAITING)
        self._kept: deque[Waiting] = deque()
        self._kept_size = 0
        self._done: list[int] = []
        self._flush_at = 0.0  # when these outbox rows are deleted
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)  # while Redis does not answer
        self._closed_until = 0.0
        self._stopping = False
        self.thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def dispatch(self, committed: Committed[Any]) -> None:
        """Hands over what was committed; never waits. What doesn't fit is left to the relay."""
        if committed.changes and self._publisher.is_unwatched:
            committed = replace(committed, changes=[])
            if committed.is_silent:
                return
        try:
            self._waiting.put_nowait((time.monotonic(), committed))
        except queue.Full:
            log.warning("dispatch_skipped", outbox_ids=committed.outbox_ids)

    def stop(self, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Publishes what waits, deletes what was published, and ends."""
        self._stopping = True
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self.thread.join(timeout.total_seconds())

    def _run(self) -> None:
        while True:
            batch = self._take(self._patience())
            if batch:
                self._publish(batch)
                if not (self._waiting.empty() or self._stopping):
                    time.sleep(_GATHER_SECONDS)  # busy: a round trip for many costs little more than one for a few
            if self._done and (self._stopping or time.monotonic() >= self._flush_at or len(self._done) >= _MAX_BATCH):
                self._delete()
            if self._stopping and self._waiting.empty():
                return

    def _patience(self) -> float:
        """How long to wait for something new."""
        now = time.monotonic()
        seconds = self._flush_at - now if self._done else 1.0
        return min(seconds, self._closed_until - now) if self._kept else seconds

    def _take(self, timeout: float) -> list[Waiting]:
        """What is to be announced in the next round trip."""
        batch: list[Waiting] = []
        size = 0
        while len(batch) < _MAX_BATCH and size < _MAX_PUBLICATIONS:
            item = self._next(0.0 if batch else timeout)
            if item is None:
                break
            batch.append(item)
            size += len(item[1].publications)
        return batch

    def _next(self, timeout: float) -> Waiting | None:
        """What was kept first, unless Redis is still let be. None where nothing comes, or the end is asked for."""
        while self._kept and not self._is_closed:
            since, committed = self._kept.popleft()
            self._kept_size -= len(committed.publications)
            if time.monotonic() - since < self._keep_for:
                return since, committed
        try:
            return self._waiting.get(timeout > 0, timeout)
        except queue.Empty:
            return None

    def _keep(self, batch: Sequence[Waiting]) -> None:
        """For another try. Without the changes: live events have told the next ones by then."""
        for since, committed in batch:
            if self._kept_size + len(committed.publications) > _MAX_KEPT or len(self._kept) >= _MAX_WAITING:
                return
            if not (kept := replace(committed, changes=[])).is_silent:
                self._kept.append((since, kept))
                self._kept_size += len(committed.publications)

    @property
    def _is_closed(self) -> bool:
        """Whether Redis, which did not answer, is to be left alone for a moment longer."""
        return time.monotonic() < self._closed_until

    def _publish(self, batch: Sequence[Waiting]) -> None:
        if self._is_closed:
            self._keep(batch)
            return
        whole = together((committed for _, committed in batch), None)
        failpoint("publish.before")
        try:
            _announce(self._publisher, whole)
        except BrokerUnavailable as e:
            pause = self._backoff.next()
            self._closed_until = time.monotonic() + pause
            log.warning("publish_failed", error=str(e), pause=round(pause, 1))
            self._keep(batch)
            return
        except Exception:
            # This thread must not die of one batch; the relay publishes what is left of it.
            log.exception("publish_failed")
            return
        failpoint("publish.after")
        if self._backoff.reset():
            log.info("publish_recovered")
        if not self._done:
            self._flush_at = time.monotonic() + self._delete_within
        self._done += whole.outbox_ids

    def _delete(self) -> None:
        done, self._done = self._done, []
        failpoint("outbox.before")
        try:
            ledger.run(self._engine, lambda conn: delete(conn, done))
        except LedgerUnavailable as e:
            # The relay publishes them once more, which is harmless.
            log.warning("outbox_delete_failed", rows=len(done), error=str(e))
        except Exception:
            log.exception("outbox_delete_failed", rows=len(done))
        failpoint("outbox.after")


class Immediate:
    """The announcer of a command, which ends soon: publishes before it returns. What Redis does not take is left to the
    scheduler, or raised as BrokerUnavailable where the command is about publishing (`must_publish`).
    """

    def __init__(self, engine: Engine, publisher: Publisher, *, must_publish: bool = False) -> None:
        self._engine = engine
        self._publisher = publisher
        self._must_publish = must_publish

    def dispatch(self, committed: Committed[Any]) -> None:
        try:
            _announce(self._publisher, committed)
        except BrokerUnavailable:
            if self._must_publish:
                raise
            return
        # Where this fails the relay publishes once more, which is harmless.
        with suppress(LedgerUnavailable):
            ledger.run(self._engine, lambda conn: delete(conn, committed.outbox_ids))


def _announce(publisher: Publisher, done: Committed[Any]) -> None:
    """Raises BrokerUnavailable."""
    publisher.publish(
        done.publications,
        done.changes,
        withdrawn=done.withdrawn,
        wake_scheduler=done.wakes_scheduler,
        hints={
            "cancel": done.cancels,
            "resume": done.resumed,
            "recall": done.recalled,
            "workers": done.workers,
        },
    )
