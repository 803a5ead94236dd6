"""The writer: one thread a child that records the outcomes, the progress and the log lines of its tasks.

The threads of tasks hand over and go on. The writer commits in one batch all that came together. It never dies and
never skips: while PostgreSQL is away it waits and tries again. A batch that PostgreSQL cannot hold is bisected, and the
outcome at fault is recorded as a failure.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from taskyard.backoff import Backoff
from taskyard.bisection import bisect
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.explanations import explanation
from taskyard.domain.tasks import Change, Failed, FailureKind, Fault, Outcome, State
from taskyard.failpoints import failpoint
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, Recorded, ended, finish
from taskyard.lifecycle.progress import Note, Progress, annotate, progress
from taskyard.store import ledger
from taskyard.store.sqlstates import Meaning, meaning

from .claim_table import ClaimTable, Holder, Slot

log = structlog.stdlib.get_logger(__name__)

MAX_BATCH = 256
PROGRESS_SECONDS = 0.25
_MAX_NOTES = 1000
_NOT_STORABLE = "result_not_storable"

T = TypeVar("T")


@dataclass(slots=True)
class End:
    """An outcome on its way to the ledger. `run_seconds` is None for a claim that has not begun."""

    slot: Slot
    outcome: Outcome
    run_seconds: float | None
    ended_at: float


class Observer(Protocol):
    """Counts what was recorded."""

    def recorded(self, end: End, state: State) -> None: ...

    def fenced(self, end: End) -> None: ...


class Writer:
    """Writes in the name of `holder`."""

    def __init__(
        self, engine: Engine, dispatcher: Dispatcher, table: ClaimTable, observer: Observer, holder: Holder
    ) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._table = table
        self._observer = observer
        self._holder = holder
        self._ends: deque[End] = deque()
        self._lock = threading.Lock()  # over the two that follow
        self._notes: list[tuple[Note, float]] = []
        self._progress: dict[UUID, Progress] = {}
        self._running: dict[UUID, Change] = {}
        self._told = time.monotonic()
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

    # For the threads of tasks: nothing here waits for a server

    def end(self, end: End) -> None:
        self._ends.append(end)
        self._wake.set()

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None:
        with self._lock:
            if not self._progress:
                self._wake.set()
            self._progress[task_id] = Progress(task_id, claim, current, total, message)

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        with self._lock:
            if not self._notes:
                self._wake.set()
            self._notes.append((Note(task_id, claim, kind, data), time.monotonic()))

    def started(self, changes: Sequence[Change]) -> None:
        """Announces that these tasks run, and remembers how to announce their progress."""
        for change in changes:
            self._running[change.task_id] = change
        self._dispatcher.dispatch(Committed(changes=changes))

    # The thread

    def _run(self) -> None:
        while True:
            self._wake.wait(PROGRESS_SECONDS if self._progress or self._notes else 1.0)
            self._wake.clear()
            try:
                self._turn()
            except Exception:
                log.exception("writer_turn_failed")
            self.wrote = time.monotonic()
            if self._stopping and not (self._ends or self._progress or self._notes):
                return

    def _turn(self) -> None:
        ends = [self._ends.popleft() for _ in range(min(len(self._ends), MAX_BATCH))]
        if self._ends:
            self._wake.set()
        # A task's progress and lines come before its end, which ends its claim.
        try:
            if self._stopping or time.monotonic() - self._told >= PROGRESS_SECONDS:
                self._tell()
                self._told = time.monotonic()
            elif ends and (self._progress or self._notes):
                self._tell({end.slot.task_id for end in ends})
        finally:
            if ends:
                self._record(ends)

    def _tell(self, ending: Collection[UUID] | None = None) -> None:
        """Writes progress and log lines; those of `ending` only, where it is too early for the others. Lines keep their
        order, so all go as soon as one has to."""
        with self._lock:
            if ending is None:
                newest, self._progress = self._progress, {}
            else:
                newest = {i: p for i in ending if (p := self._progress.pop(i, None))}
            notes: list[tuple[Note, float]] = []
            if ending is None or any(note.task_id in ending for note, _ in self._notes):
                notes, self._notes = self._notes, []
        if newest:
            self._isolated(list(newest.values()), progress)
        for start in range(0, len(notes), _MAX_NOTES):
            page = notes[start : start + _MAX_NOTES]
            now = time.monotonic()
            self._isolated([replace(note, ago_seconds=now - at) for note, at in page], annotate)
        touched = newest.keys() | {note.task_id for note, _ in notes}
        self._dispatcher.dispatch(Committed(changes=[c for t in touched if (c := self._running.get(t))]))

    def _isolated(self, items: Sequence[Any], verb: Callable[[Connection, Any], object]) -> None:
        """Writes them; one that PostgreSQL cannot hold is logged and dropped."""
        bisect(
            items,
            lambda part: self._patiently(lambda conn: verb(conn, part)),
            is_to_blame=_cannot_be_stored,
            alone=lambda item, e: log.warning("line_not_storable", task_id=str(item.task_id), error=str(e)),
        )

    def _record(self, ends: Sequence[End]) -> None:
        """Records the ends; one that PostgreSQL cannot hold becomes a failure."""
        bisect(ends, self._record_together, is_to_blame=_cannot_be_stored, alone=self._record_as_failed)

    def _record_together(self, ends: Sequence[End]) -> None:
        failpoint("finish.before")
        tries = count()
        result = self._patiently(lambda conn: self._finish(conn, ends, is_repeat=next(tries) > 0))
        failpoint("finish.after")
        self._observe(ends, result)
        self._table.forget([end.slot for end in ends])
        for end in ends:
            self._running.pop(end.slot.task_id, None)
        self._dispatcher.dispatch(
            Committed(
                result.publications,
                result.outbox_id,
                result.changes,
                wake_scheduler=any(change.state is State.RETRYING for change in result.changes),
            )
        )

    def _finish(self, conn: Connection, ends: Sequence[End], *, is_repeat: bool) -> Recorded:
        result = finish(conn, _items(ends))
        missing = _others(ends, result.changes)
        if missing and (back := self._reassert(conn, missing)):
            log.warning("claims_asserted", tasks=len(back))
            more = finish(conn, _items([end for end in missing if end.slot.task_id in back]))
            publications = [*result.publications, *more.publications]
            result = Recorded([*result.changes, *more.changes], result.outbox_id or more.outbox_id, publications)
            missing = _others(missing, more.changes)
        if missing and is_repeat:
            # The answer to an earlier try got lost: what that one recorded was ours.
            ran = {end.slot.task_id: end.slot.work for end in missing if end.slot.work and end.run_seconds is not None}
            for task_id, state in ended(conn, {i: work.attempt for i, work in ran.items()}).items():
                work = ran[task_id]
                result.changes.append(Change(task_id, work.name, work.queue, state, work.attempt, work.workflow_id))
        return result

    def _reassert(self, conn: Connection, ends: Sequence[End]) -> set[UUID]:
        """Makes running again what this child held and PostgreSQL forgot in a failover; returns those ids."""
        holder = self._holder
        held = [
            Assertion(end.slot.task_id, end.slot.claim, end.slot.work.attempt, holder.label)
            for end in ends
            if end.slot.work is not None
        ]
        return assert_claims(conn, held, worker_id=holder.worker_id)

    def _record_as_failed(self, end: End, error: Exception) -> None:
        """Records a failure in place of an outcome that cannot be stored."""
        log.error("outcome_not_storable", task_id=str(end.slot.task_id))
        if isinstance(end.outcome, Failed) and end.outcome.fault.code == _NOT_STORABLE:
            # Not even the failure can be stored. The heartbeat will release the claim, because no child holds it.
            self._table.forget([end.slot])
            return
        end.outcome = Failed(_not_storable(error))
        self._record([end])

    def _observe(self, ends: Sequence[End], result: Recorded) -> None:
        states = {change.task_id: change.state for change in result.changes}
        try:
            for end in ends:
                state = states.pop(end.slot.task_id, None)
                if state is not None:
                    self._observer.recorded(end, state)
                else:
                    log.warning("write_fenced", task_id=str(end.slot.task_id), claim=str(end.slot.claim))
                    self._observer.fenced(end)
        except Exception:  # a slot that is never freed is worse than a wrong figure
            log.exception("observer_failed")

    def _patiently(self, verb: Callable[[Connection], T]) -> T:
        """Repeats a write until it is done: what ran must be recorded, however long PostgreSQL is away.

        Raises only where the data is at fault (`_cannot_be_stored`).
        """
        backoff = Backoff(0.05, 2.0)
        while True:
            try:
                return ledger.run(self._engine, verb)
            except LedgerUnavailable as e:
                log.warning("ledger_unavailable", what="writer", error=str(e))
            except Exception as e:
                if _cannot_be_stored(e):
                    raise
                log.exception("write_failed")
            self.wrote = time.monotonic()  # waiting for PostgreSQL is not being stuck
            time.sleep(backoff.next())


def _cannot_be_stored(error: Exception) -> bool:
    """TypeError: it is not JSON."""
    return isinstance(error, TypeError) or meaning(error) is Meaning.BAD_DATA


def _others(ends: Sequence[End], changes: Sequence[Change]) -> list[End]:
    """The ends that were not recorded."""
    won = {change.task_id for change in changes}
    return [end for end in ends if end.slot.task_id not in won]


def _items(ends: Sequence[End]) -> list[Finished]:
    now = time.monotonic()
    return [Finished(e.slot.task_id, e.slot.claim, e.outcome, e.run_seconds, now - e.ended_at) for e in ends]


def _not_storable(error: Exception) -> Fault:
    reason = str(getattr(error, "orig", error)).partition("\n")[0]
    return Fault(
        _NOT_STORABLE,
        explanation(_NOT_STORABLE, reason=reason),
        type(error).__name__,
        False,
        FailureKind.INVALID,
    )
