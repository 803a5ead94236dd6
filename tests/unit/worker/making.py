"""Claims to try the worker's parts on, without any server."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from taskyard.domain.ids import new_id
from taskyard.lifecycle.claim import Claimed
from taskyard_worker.desk import ASYNC_LIMIT, Desk
from taskyard_worker.slots import SlotTable


def claimed(**changes: Any) -> Claimed:
    values: dict[str, Any] = {
        "id": new_id(),
        "claim": uuid4(),
        "name": "diagnostics.echo",
        "queue": "default",
        "params": {"value": 1},
        "version": 1,
        "attempt": 1,
        "failures": 0,
        "max_attempts": 4,
        "soft_timeout_seconds": 540.0,
        "hard_timeout_seconds": 600.0,
        "waited_seconds": 0.0,
        "tags": [],
        "request_id": None,
        "traceparent": None,
        "submitted_by": None,
        "allowed_queues": None,
        "workflow_id": None,
    }
    return Claimed(**{**values, **changes})


def make_table(threads: int = 4) -> SlotTable:
    table = SlotTable.create(Desk.table_size(threads, ASYNC_LIMIT))
    table.hand_down()
    return table


def make_desk(threads: int = 4, *, async_limit: int = ASYNC_LIMIT, table: SlotTable | None = None) -> Desk:
    return Desk(table or make_table(threads), threads=threads, async_limit=async_limit)


def claim_some(desk: Desk, count: int = 1, **changes: Any) -> list[Any]:
    """Slots of claims that were won."""
    claim = UUID(int=uuid4().int)
    works = [claimed(claim=claim, **changes) for _ in range(count)]
    return desk.settle(desk.enter([w.id for w in works], claim), works)
