"""A child's claims in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sqlalchemy import Engine

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.explanations import explanation
from taskyard.domain.tasks import Failed, FailureKind, Fault
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard.lifecycle.committed import commit
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.put_off import put_off
from taskyard.store import ledger

from ..metrics import WorkerMetrics
from .claim_table import Holder


class LedgerClaims:
    """The claim source of both consumers. `is_alone`: the child runs one task at a time, so it may claim suspects."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        metrics: WorkerMetrics,
        holder: Holder,
        *,
        queues: Sequence[str],
        types: Sequence[str],
        is_alone: bool,
    ) -> None:
        self._run = partial(ledger.run, engine)
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._holder = holder
        self._queues = list(queues)
        self._types = list(types)
        self._is_alone = is_alone
        self._database = metrics.metrics.dependency("database")

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        verb = partial(
            claims.claim,
            ids=ids,
            claim=claim,
            worker_id=self._holder.worker_id,
            worker=self._holder.label,
            types=self._types,
            alone=self._is_alone,
        )
        with self._database.watched(LedgerUnavailable):
            return commit(self._run, verb, self._dispatcher, name="claim")

    def suspects(self) -> list[UUID]:
        """Tasks that wait to run alone."""
        worker_id = self._holder.worker_id
        return self._run(lambda conn: claims.suspects(conn, self._queues, types=self._types, worker_id=worker_id))

    def refusals(self, ids: Sequence[UUID]) -> list[Refusal]:
        worker_id = self._holder.worker_id
        return self._run(lambda conn: claims.refusals(conn, ids, types=self._types, worker_id=worker_id))

    def put_off(self, ids: Sequence[UUID]) -> None:
        commit(self._run, partial(put_off, ids=ids, reason="unknown_task_type"), self._dispatcher)

    def fail_unreadable(self, task_id: UUID, claim: UUID, error: Exception) -> None:
        code = "task_unreadable"
        reason = (str(error).splitlines() or [""])[0][:500]
        fault = Fault(code, explanation(code, reason=reason), type(error).__name__, False, FailureKind.INVALID)
        end = Finished(task_id, claim, Failed(fault))
        commit(self._run, partial(finish, ends=[end]), self._dispatcher)

    def count(self, won: Sequence[Claimed]) -> None:
        self._metrics.claimed(won)
