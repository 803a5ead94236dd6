"""Attempts that end from outside of their process: lost with it, ended by force, or released."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import structlog
from sqlalchemy import Engine

from taskyard.domain.tasks import Change, Released, State
from taskyard.failpoints import failpoint
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, Recorded, finish
from taskyard.lifecycle.rescue import Lost, lose
from taskyard.lifecycle.workers import Held
from taskyard.store import ledger

from .forced_end import ForcedEnd

log = structlog.stdlib.get_logger(__name__)


class Counts(Protocol):
    """The metrics of what the supervisor records."""

    def lost(self, items: Sequence[Lost], changes: Sequence[Change]) -> None: ...

    def recovered(self, cause: str, tasks: int) -> None: ...

    def forced(self, end: ForcedEnd, changes: Sequence[Change]) -> None: ...


class AttemptEnds:
    """Each method is one transaction, then its announcement. All raise LedgerUnavailable."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, counts: Counts, *, crash_limit: int) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._counts = counts
        self._crash_limit = crash_limit

    def lose(self, cause: str, items: Sequence[Lost]) -> None:
        """Records what died with a child."""
        failpoint("lose.before")
        result = ledger.run(self._engine, lambda conn: lose(conn, items, crash_limit=self._crash_limit))
        failpoint("lose.after")
        log.warning("attempts_lost", cause=cause, held=len(items), recorded=len(result.changes))
        self._counts.lost(items, result.changes)
        self._counts.recovered("child", len(result.changes))
        self._tell(result)

    def force(self, end: ForcedEnd, since: float) -> None:
        """Records the end of an attempt that was ended by force, at the CLOCK_MONOTONIC second `since`."""
        late = time.monotonic() - since
        finished = Finished(end.task_id, end.claim, end.outcome, end.run_seconds, late)
        result = ledger.run(self._engine, lambda conn: finish(conn, [finished]))
        self._counts.forced(end, result.changes)
        self._tell(result)

    def release(self, held: Sequence[Held], cause: str) -> None:
        """Gives claims back; their tasks are queued again and pay nothing."""
        ends = [Finished(h.task_id, h.claim, Released(cause)) for h in held]
        self._tell(ledger.run(self._engine, lambda conn: finish(conn, ends)))

    def _tell(self, result: Recorded) -> None:
        later = any(change.state is State.RETRYING for change in result.changes)
        self._dispatcher.dispatch(
            Committed(result.publications, result.outbox_id, result.changes, wake_scheduler=later)
        )
