"""A child's claims in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Engine

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.explanations import explanation
from taskyard.domain.tasks import Change, Failed, FailureKind, Fault, State
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard.lifecycle.dispatch import Committed, Dispatcher
from taskyard.lifecycle.finish import Finished, finish
from taskyard.store import ledger

from ..metrics import WorkerMetrics
from .claim_table import Holder
from .writer import Writer


class LedgerClaims:
    """The claim source of both consumers. `is_alone`: the child runs one task at a time, so it may claim suspects."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        writer: Writer,
        metrics: WorkerMetrics,
        holder: Holder,
        *,
        queues: Sequence[str],
        types: Sequence[str],
        is_alone: bool,
    ) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._writer = writer
        self._metrics = metrics
        self._holder = holder
        self._queues = list(queues)
        self._types = list(types)
        self._is_alone = is_alone
        self._database = metrics.metrics.dependency("database")

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        with self._database.watched(LedgerUnavailable):
            return ledger.run(
                self._engine,
                lambda conn: claims.claim(
                    conn,
                    ids,
                    claim=claim,
                    worker_id=self._holder.worker_id,
                    worker=self._holder.label,
                    types=self._types,
                    alone=self._is_alone,
                ),
            )

    def suspects(self) -> list[UUID]:
        """Tasks that wait to run alone."""
        return ledger.run(self._engine, lambda conn: claims.suspects(conn, self._queues, types=self._types))

    def refusals(self, ids: Sequence[UUID]) -> list[Refusal]:
        return ledger.run(
            self._engine,
            lambda conn: claims.refusals(conn, ids, types=self._types, worker_id=self._holder.worker_id),
        )

    def put_off(self, ids: Sequence[UUID]) -> None:
        ledger.run(self._engine, lambda conn: claims.put_off(conn, ids, reason="unknown_task_type"))

    def fail_unreadable(self, task_id: UUID, claim: UUID, error: Exception) -> None:
        code = "task_unreadable"
        reason = (str(error).splitlines() or [""])[0][:500]
        fault = Fault(code, explanation(code, reason=reason), type(error).__name__, False, FailureKind.INVALID)
        end = Finished(task_id, claim, Failed(fault))
        result = ledger.run(self._engine, lambda conn: finish(conn, [end]))
        self._dispatcher.dispatch(Committed(changes=result.changes))

    def announce(self, won: Sequence[Claimed]) -> None:
        self._writer.started([Change(w.id, w.name, w.queue, State.RUNNING, w.attempt, w.workflow_id) for w in won])
        self._metrics.claimed(won)
