"""Attempts that end from outside of their process: lost with it, ended by force, or released."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import Change, Released
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.committed import Committed, commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.finish import Finished, finish
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
        changes = self._commit(partial(lose, lost=items, crash_limit=self._crash_limit), name="lose")
        log.warning("attempts_lost", cause=cause, held=len(items), recorded=len(changes))
        self._counts.lost(items, changes)
        self._counts.recovered("child", len(changes))

    def force(self, end: ForcedEnd, since: float) -> None:
        """Records the end of an attempt that was ended by force, at the CLOCK_MONOTONIC second `since`."""
        late = time.monotonic() - since
        finished = Finished(end.task_id, end.claim, end.outcome, end.run_seconds, late)
        self._counts.forced(end, self._commit(partial(finish, ends=[finished])))

    def release(self, held: Sequence[Held], cause: str) -> None:
        """Gives claims back; their tasks are queued again and pay nothing."""
        self._commit(partial(finish, ends=[Finished(h.task_id, h.claim, Released(cause)) for h in held]))

    def assert_held(self, claims: Sequence[Assertion], worker_id: UUID) -> set[UUID]:
        """Makes running again what children hold and PostgreSQL forgot; returns those ids."""
        verb = partial(assert_claims, claims=claims, worker_id=worker_id)
        return commit(partial(ledger.run, self._engine), verb, self._dispatcher)

    def _commit(self, verb: Callable[[Connection], Committed[list[Change]]], *, name: str = "") -> list[Change]:
        return commit(partial(ledger.run, self._engine), verb, self._dispatcher, name=name)
