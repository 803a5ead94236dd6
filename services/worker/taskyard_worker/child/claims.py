"""A child's claims in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Engine

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard.lifecycle.committed import commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.limits import hold_back
from taskyard.lifecycle.put_off import put_off
from taskyard.running import outcomes
from taskyard.store import ledger
from taskyard.store.final_failures import report_failures
from taskyard.telemetry.metrics import Dependency
from taskyard.telemetry.reports import NO_REPORTS, Reports

from ..metrics import WorkerMetrics
from .slowed import Slowed


@dataclass(frozen=True, slots=True)
class Holder:
    """In whose name a child claims: its worker's row, and its own name in that of its worker."""

    worker_id: UUID
    label: str


@dataclass(frozen=True, slots=True)
class LedgerClaims:
    """The claim source of both consumers. `is_apart`: the child runs only what has to run apart from other tasks.

    `types` are the versions that it runs, by name; other workers live for `lease` after a heartbeat.
    """

    engine: Engine
    dispatcher: Dispatcher
    metrics: WorkerMetrics
    database: Dependency
    holder: Holder
    queues: Sequence[str]
    types: Mapping[str, int]
    lease: timedelta
    slowed: Slowed
    is_apart: bool
    reports: Reports = NO_REPORTS

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        verb = partial(
            claims.claim,
            ids=ids,
            claim=claim,
            worker_id=self.holder.worker_id,
            worker=self.holder.label,
            types=self.types,
            queues=self.queues,
            apart=self.is_apart,
            slowed=self.slowed.names,
        )
        with self.database.watched(LedgerUnavailable), self.metrics.claiming():
            return commit(partial(ledger.run, self.engine), verb, self.dispatcher, name="claim")

    def set_apart(self) -> dict[UUID, str | None]:
        """Tasks that wait to run apart, and what they may run beside (`lifecycle.claim.set_apart`)."""
        verb = partial(claims.set_apart, queues=self.queues, types=self.types, worker_id=self.holder.worker_id)
        return ledger.run(self.engine, verb)

    def refusals(self, ids: Sequence[UUID]) -> list[Refusal]:
        verb = partial(
            claims.refusals,
            ids=ids,
            types=self.types,
            worker_id=self.holder.worker_id,
            queues=self.queues,
            lease=self.lease,
            slowed=self.slowed.names,
        )
        return ledger.run(self.engine, verb)

    def put_off(self, ids: Sequence[UUID]) -> None:
        self._put_off(ids, "unknown_task_type")

    def hold_back(self, ids: Sequence[UUID]) -> None:
        commit(partial(ledger.run, self.engine), partial(hold_back, ids=ids), self.dispatcher)

    def leave_slowed(self, refused: Sequence[Refusal]) -> None:
        for kind in {r.kind for r in refused}:
            self._put_off([r.id for r in refused if r.kind == kind], "slowed", self.slowed.seconds(kind))

    def _put_off(self, ids: Sequence[UUID], reason: str, seconds: float | None = None) -> None:
        verb = partial(put_off, ids=ids, reason=reason, seconds=seconds)
        commit(partial(ledger.run, self.engine), verb, self.dispatcher)

    def fail_unreadable(self, task_id: UUID, claim: UUID, error: Exception) -> None:
        reason = (str(error).splitlines() or [""])[0][:500]
        failed = outcomes.invalid("task_unreadable", error_type=type(error).__name__, reason=reason)
        verb = partial(finish, ends=[Finished(task_id, claim, failed)])
        run = partial(ledger.run, self.engine)
        changes = commit(run, verb, self.dispatcher)
        report_failures(self.reports, run, changes)

    def count(self, won: Sequence[Claimed]) -> None:
        self.metrics.claimed(won)
