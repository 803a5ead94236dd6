"""The writer: one thread a child that records the outcomes, the progress and the log lines of its tasks.

The threads of tasks hand over and go on. The writer commits in one batch all that came together. It never skips: while
PostgreSQL is away it waits and tries again. A batch that PostgreSQL cannot hold is bisected, and the outcome at fault
is recorded as a failure. A task can end the thread from outside; the child ends then, and `stop` records in another
thread what is left.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Protocol, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from taskyard.backoff import Backoff
from taskyard.bisection import bisect
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Failed, Outcome, State
from taskyard.lifecycle.assertion import Assertion
from taskyard.lifecycle.committed import Committed, commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.finish import Finished
from taskyard.lifecycle.progress import Note, Progress, annotate, progress
from taskyard.lifecycle.progress_calls import ProgressCalls, call_progress
from taskyard.lifecycle.record import Recorded, record
from taskyard.running import outcomes
from taskyard.store import ledger
from taskyard.store.sqlstates import Meaning, meaning

from .claim_table import ClaimTable
from .claims import Holder
from .gathering import ENOUGH, Gathering
from .slot import Slot
from .untold import Untold

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
    """Counts what was recorded; `finishing` is entered around each try to record outcomes."""

    def finishing(self) -> AbstractContextManager[object]: ...

    def recorded(self, ends: Sequence[tuple[End, State]]) -> None: ...

    def fenced(self, end: End) -> None: ...


class Writer:
    """Writes in the name of `holder`."""

    def __init__(
        self, engine: Engine, dispatcher: Dispatcher, table: ClaimTable, observer: Observer, holder: Holder
    ) -> None:
        self._run_verb = partial(ledger.run, engine)
        self._run_transaction = partial(ledger.run_transaction, engine)
        self._dispatcher = dispatcher
        self._table = table
        self._observer = observer
        self._holder = holder
        self._ends: deque[End] = deque()
        self._taken: list[End] = []  # out of `_ends`, and not recorded yet
        self._latest: deque[End] = deque(maxlen=MAX_BATCH)  # of tasks that ran
        self._wake = Gathering()
        self._untold = Untold(self._wake)
        self._calls = ProgressCalls()
        self._told = time.monotonic()
        self._stopping = False
        self.wrote = time.monotonic()
        self.thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self, timeout: float) -> bool:
        """Writes what is left and ends; False where it could not within `timeout` seconds."""
        self._stopping = True
        self._wake.set(hurries=True)
        if not self.thread.is_alive() and self._has_more:
            self.thread = self._new_thread()
            self.thread.start()
        self.thread.join(timeout)
        return not self.thread.is_alive()

    def ended_since(self, at: float) -> list[End]:
        """The latest ends of tasks that ran, recorded or not, since `at` (monotonic seconds)."""
        return [end for end in tuple(self._latest) if end.ended_at >= at]

    def detach(self) -> None:
        """In a copy of the child, which has no thread that writes. The locks may have been held when it was made."""
        self._wake = Gathering()
        self._untold = Untold(self._wake)

    # For the threads of tasks: nothing here waits for a server

    def end(self, end: End) -> None:
        self._ends.append(end)
        if end.run_seconds is not None:
            self._latest.append(end)
        self._wake.set(hurries=self._table.waiting.is_empty or len(self._ends) >= ENOUGH)

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None:
        self._untold.progress(Progress(task_id, claim, current, total, message))

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self._untold.note(Note(task_id, claim, kind, data))

    # The thread

    def _run(self) -> None:
        while True:
            self._wake.wait(PROGRESS_SECONDS if self._untold else 1.0)
            try:
                self._turn()
            except Exception:
                log.exception("writer_turn_failed")
            self.wrote = time.monotonic()
            if self._stopping and not self._has_more:
                return

    @property
    def _has_more(self) -> bool:
        return bool(self._taken or self._ends or self._untold)

    def _turn(self) -> None:
        # A turn may end anywhere, by an exception from outside. To record an end twice does no harm.
        while self._ends and len(self._taken) < MAX_BATCH:
            self._taken.append(self._ends[0])
            self._ends.popleft()
        ends = self._taken
        if self._ends:
            self._wake.set(hurries=True)
        # A task's progress and lines come before its end, which ends its claim.
        try:
            if self._stopping or time.monotonic() - self._told >= PROGRESS_SECONDS:
                self._tell()
                self._told = time.monotonic()
            elif ends and self._untold:
                self._tell({end.slot.task_id for end in ends})
        finally:
            if ends:
                self._record(ends)
                self._taken = []

    def _tell(self, ending: Collection[UUID] | None = None) -> None:
        """Writes progress and log lines; those of `ending` only, where it is too early for the others."""
        newest, notes = self._untold.taken(ending)
        if newest:
            asking: set[UUID] = set()
            self._isolated(newest, partial(self._keep, asking))
            if ending is None:  # of what ends now, the end is told
                self._call_back(asking)
        for start in range(0, len(notes), _MAX_NOTES):
            page = notes[start : start + _MAX_NOTES]
            now = time.monotonic()
            self._isolated([replace(note, ago_seconds=now - at) for note, at in page], annotate)

    def _keep(self, asking: set[UUID], conn: Connection, items: Sequence[Progress]) -> Committed[dict[UUID, bool]]:
        """`asking` learns of which tasks a receiver is told."""
        kept = progress(conn, items)
        asking.update(task_id for task_id, is_called in kept.answer.items() if is_called)
        return kept

    def _call_back(self, asking: Collection[UUID]) -> None:
        if delays := self._calls.delays(asking, time.monotonic()):
            self._patiently(partial(call_progress, delays=delays), run=self._run_transaction)

    def _isolated(self, items: Sequence[Any], verb: Callable[[Connection, Any], Committed[Any]]) -> None:
        """Writes them; one that PostgreSQL cannot hold is logged and dropped."""
        bisect(
            items,
            lambda part: self._patiently(lambda conn: verb(conn, part)),
            is_to_blame=_cannot_be_stored,
            alone=lambda item, e: log.warning("line_not_storable", task_id=str(item.task_id), error=str(e)),
        )

    def _record(self, ends: Sequence[End]) -> None:
        """Records the ends; one that PostgreSQL cannot hold becomes a failure."""
        bisect(ends, self._record_together, is_to_blame=_cannot_be_stored, alone=self._record_alone)

    def _record_together(self, ends: Sequence[End]) -> None:
        tries = count()
        recorded = self._patiently(
            lambda conn: self._finish(conn, ends, is_repeat=next(tries) > 0), name="finish", run=self._run_finish
        )
        if recorded.asserted:
            log.warning("claims_asserted", tasks=recorded.asserted)
        self._observe(ends, recorded.states)
        self._table.forget([end.slot for end in ends])

    def _run_finish(self, verb: Callable[[Connection], T]) -> T:
        with self._observer.finishing():
            return self._run_verb(verb)

    def _finish(self, conn: Connection, ends: Sequence[End], *, is_repeat: bool) -> Committed[Recorded]:
        now = time.monotonic()
        finished = [
            Finished(
                *(e.slot.task_id, e.slot.claim, e.outcome, e.run_seconds, now - e.ended_at),
                calls_back=(work := e.slot.work) is None or work.calls_back,
                is_step=work is None or work.workflow_id is not None,
                is_limited=work is None or work.is_limited,
            )
            for e in ends
        ]
        held = partial(self._held, ends)
        return record(conn, finished, held, worker_id=self._holder.worker_id, is_repeat=is_repeat)

    def _held(self, ends: Sequence[End]) -> dict[UUID, Assertion]:
        label = self._holder.label
        slots = [end.slot for end in ends]
        return {s.task_id: Assertion(s.task_id, s.claim, s.work.attempt, label) for s in slots if s.work is not None}

    def _record_alone(self, end: End, error: Exception) -> None:
        """Tries once more: a task can raise a TypeError into this thread, and what others have done is not to blame."""
        try:
            self._record_together([end])
        except Exception as e:
            if not _cannot_be_stored(e):
                raise
            self._record_as_failed(end, error)

    def _record_as_failed(self, end: End, error: Exception) -> None:
        """Records a failure in place of an outcome that cannot be stored."""
        log.error("outcome_not_storable", task_id=str(end.slot.task_id))
        if isinstance(end.outcome, Failed) and end.outcome.fault.code == _NOT_STORABLE:
            # Not even the failure can be stored. The heartbeat will release the claim, because no child holds it.
            self._table.forget([end.slot])
            return
        end.outcome = outcomes.not_stored(error)
        self._record([end])

    def _observe(self, ends: Sequence[End], states: dict[UUID, State]) -> None:
        try:
            found = [(end, states.pop(end.slot.task_id, None)) for end in ends]
            self._observer.recorded([(end, state) for end, state in found if state is not None])
            for end, state in found:
                if state is None:
                    log.warning("write_fenced", task_id=str(end.slot.task_id), claim=str(end.slot.claim))
                    self._observer.fenced(end)
        except Exception:  # a slot that is never freed is worse than a wrong figure
            log.exception("observer_failed")

    def _patiently(
        self, verb: Callable[[Connection], Committed[T]], *, name: str = "", run: Callable[..., Any] | None = None
    ) -> T:
        """Repeats a write until it is done: what ran must be recorded, however long PostgreSQL is away.

        Raises only where the data is at fault (`_cannot_be_stored`).
        """
        backoff = Backoff(0.05, 2.0)
        while True:
            try:
                answer: T = commit(run or self._run_verb, verb, self._dispatcher, name=name)
                return answer
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
