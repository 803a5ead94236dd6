"""The writer: one thread a child that records what its tasks came to and how far they are.

Threads hand over and go on; the writer takes all that came together and commits it at once. It never dies
and never skips: while PostgreSQL is away it waits and tries again. What PostgreSQL refuses is halved until
the one culprit stands alone, and that one is recorded as failed.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Change, Failed, FailureKind, Fault, Outcome, RetryIn, State
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, Recorded, finish
from taskyard.lifecycle.progress import Note, Progress, annotate, progress
from taskyard.store import engine as ledger

from .desk import Desk, Slot

log = logging.getLogger(__name__)

MAX_BATCH = 256
PROGRESS_SECONDS = 0.25
_MAX_NOTES = 1000


@dataclass(slots=True)
class End:
    """An outcome on its way to the ledger. `run_seconds` is None for a claim that never began."""

    slot: Slot
    outcome: Outcome
    run_seconds: float | None
    ended_at: float


class Observer(Protocol):
    """Told what was recorded, for metrics."""

    def recorded(self, end: End, state: State) -> None: ...

    def fenced(self, end: End) -> None: ...


class Writer:
    def __init__(self, engine: Engine, dispatcher: Dispatcher, desk: Desk, observer: Observer) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._desk = desk
        self._observer = observer
        self._ends: deque[End] = deque()
        self._notes: deque[tuple[Note, float]] = deque()
        self._progress: dict[UUID, Progress] = {}
        self._running: dict[UUID, Change] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self.wrote = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Writes what is left and ends; False where it could not within `timeout` seconds."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # Called from the threads of tasks: nothing here waits for a server

    def end(self, end: End) -> None:
        self._ends.append(end)
        self._wake.set()

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None:
        with self._lock:
            self._progress[task_id] = Progress(task_id, claim, current, total, message)

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self._notes.append((Note(task_id, claim, kind, data), time.monotonic()))

    # The thread

    def _run(self) -> None:
        told = time.monotonic()
        while True:
            self._wake.wait(PROGRESS_SECONDS if self._progress or self._notes else 1.0)
            self._wake.clear()
            ends = [self._ends.popleft() for _ in range(min(len(self._ends), MAX_BATCH))]
            if self._ends:
                self._wake.set()
            now = time.monotonic()
            finishing = {e.slot.task_id for e in ends}
            if (
                now - told >= PROGRESS_SECONDS
                or (finishing and self._is_pending(finishing))
                or self._stopping
            ):
                self._patiently(self._tell)
                told = time.monotonic()
            if ends:
                self._patiently(partial(self._record, ends))
            self.wrote = time.monotonic()
            if self._stopping and not (self._ends or self._progress or self._notes):
                return

    def _is_pending(self, finishing: set[UUID]) -> bool:
        with self._lock:
            return bool(self._notes) or not finishing.isdisjoint(self._progress)

    def _patiently(self, step: Callable[[], None]) -> None:
        """Repeats a step until it is done: what ran must be recorded, however long PostgreSQL is away."""
        pause = 0.05
        while True:
            try:
                return step()
            except LedgerUnavailable as e:
                log.warning("ledger_unavailable what=writer error=%s", e)
                self.wrote = time.monotonic()  # waiting for PostgreSQL is not being stuck
            except Exception:
                log.exception("writer_step_failed")
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 2.0)

    def _tell(self) -> None:
        with self._lock:
            newest, self._progress = self._progress, {}
        notes = [self._notes.popleft() for _ in range(min(len(self._notes), _MAX_NOTES))]
        if not newest and not notes:
            return
        now = time.monotonic()
        try:
            if newest:
                self._isolated(list(newest.values()), progress)
            if notes:
                self._isolated([replace(n, ago_seconds=now - at) for n, at in notes], annotate)
        except LedgerUnavailable:
            with self._lock:
                self._progress = {**newest, **self._progress}
            self._notes.extendleft(reversed(notes))
            raise
        touched = set(newest) | {n.task_id for n, _ in notes}
        self._dispatcher.dispatch(Committed(changes=[c for t in touched if (c := self._running.get(t))]))

    def started(self, changes: Sequence[Change]) -> None:
        """Remembers how to tell of these tasks while they run, and tells that they run."""
        for change in changes:
            self._running[change.task_id] = change
        self._dispatcher.dispatch(Committed(changes=changes))

    def _record(self, ends: Sequence[End]) -> None:
        now = time.monotonic()
        by_id = {e.slot.task_id: e for e in ends}
        items = [
            Finished(e.slot.task_id, e.slot.claim, e.outcome, e.run_seconds, now - e.ended_at) for e in ends
        ]
        result = self._finish(items)
        for change in result.changes:
            self._observer.recorded(by_id.pop(change.task_id), change.state)
        for end in by_id.values():
            log.warning("write_fenced task_id=%s claim=%s", end.slot.task_id, end.slot.claim)
            self._observer.fenced(end)
        for end in ends:
            self._running.pop(end.slot.task_id, None)
        self._desk.forget([e.slot for e in ends])
        self._dispatcher.dispatch(
            Committed(
                result.publications,
                result.outbox_id,
                result.changes,
                wake_scheduler=any(isinstance(e.outcome, RetryIn) for e in ends),
            )
        )

    def _finish(self, items: Sequence[Finished]) -> Recorded:
        """Records them; halves the batch where PostgreSQL cannot hold something in it."""
        try:
            return ledger.run(self._engine, lambda conn: finish(conn, items))
        except (DBAPIError, TypeError) as e:  # TypeError: the outcome is not JSON
            if isinstance(e, DBAPIError) and not _is_data_error(e):
                raise
            culprit = _not_storable(items[0], e)
        if len(items) == 1:
            log.error("outcome_not_storable task_id=%s", items[0].task_id)
            return ledger.run(self._engine, lambda conn: finish(conn, [culprit]))
        half = len(items) // 2
        first, second = self._finish(items[:half]), self._finish(items[half:])
        for result in (first, second):
            self._dispatcher.dispatch(Committed(result.publications, result.outbox_id))
        return Recorded([*first.changes, *second.changes])

    def _isolated(self, items: Sequence[Any], verb: Callable[[Any, Any], object]) -> None:
        """Writes them; a single one that PostgreSQL cannot hold is dropped and said in the log."""
        try:
            ledger.run(self._engine, lambda conn: verb(conn, items))
        except (DBAPIError, TypeError) as e:
            if isinstance(e, DBAPIError) and not _is_data_error(e):
                raise
            if len(items) == 1:
                log.warning("line_not_storable task_id=%s error=%s", items[0].task_id, e)
                return
            half = len(items) // 2
            self._isolated(items[:half], verb)
            self._isolated(items[half:], verb)


def _is_data_error(error: DBAPIError) -> bool:
    """SQLSTATE classes 22 (data exception) and 23 (integrity): the row is wrong, not the server."""
    return (ledger.sqlstate(error) or "")[:2] in {"22", "23"}


def _not_storable(item: Finished, error: Exception) -> Finished:
    reason = str(getattr(error, "orig", error)).splitlines()[0]
    fault = Fault(
        "result_not_storable",
        f"What the task returned cannot be stored: {reason}",
        type(error).__name__,
        False,
        FailureKind.INVALID,
    )
    return replace(item, outcome=Failed(fault))
