"""Claims and a clock to try the worker's parts on, without any server."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any
from uuid import uuid4

from taskyard.domain.ids import new_id
from taskyard.lifecycle.claim import Claimed
from taskyard_worker.child.claim_table import ClaimTable
from taskyard_worker.child.leftovers import Leftovers
from taskyard_worker.child.wear import Wear
from taskyard_worker.control import TemplatePlan
from taskyard_worker.slots import ASYNC_LIMIT, SlotTable, table_size
from taskyard_worker.supervisor.template import Template


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


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


def make_slot_table(threads: int = 4) -> SlotTable:
    table = SlotTable.create(table_size(threads))
    table.hand_down()
    return table


def make_claim_table(
    threads: int = 4,
    *,
    async_limit: int = ASYNC_LIMIT,
    async_types: Collection[str] = (),
    table: SlotTable | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ClaimTable:
    limits: dict[str, Any] = {"threads": threads, "async_limit": async_limit, "async_types": async_types}
    return ClaimTable(table or make_slot_table(threads), **limits, clock=clock)


def no_template() -> Template:
    """Of a worker that spawns its children."""
    return Template(lambda: TemplatePlan("", [], {}, []), is_on=False, start_seconds=30)


def make_watch() -> tuple[Wear, Leftovers]:
    """What a runner watches of its process, without limits."""
    return Wear(memory_mb=0, descriptors=0, threads=0, most=2**30), Leftovers(lambda kind: None)


def claim_some(claims: ClaimTable, count: int = 1, **changes: Any) -> list[Any]:
    """Slots of claims that were won."""
    claim = uuid4()
    works = [claimed(claim=claim, **changes) for _ in range(count)]
    return claims.settle(claims.enter([w.id for w in works], claim), works)
