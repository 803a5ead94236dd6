"""Changes of many tasks: by their ids, by a filter, by an operation."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import LIVE, WAITING, State
from taskyard.lifecycle import cancel_many, change, operations
from taskyard.lifecycle.follow import follow
from taskyard.store import dead_letters, left_children, live_tasks
from taskyard.store.audit import Actor
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import N, Seeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


LIVE_FILTERS: list[dict[str, Any]] = [
    {"queue": "default", "states": WAITING},
    {"states": LIVE},
    {"name": seeding.NAMES[0], "states": LIVE},
    {"queue": "default", "tag": "none_such", "states": {State.RUNNING}},
]


@pytest.mark.parametrize("wanted", LIVE_FILTERS, ids="-".join)
def test_choosing_live_tasks_reads_no_more_than_are_chosen(seeded: Seeded, wanted: dict[str, Any]) -> None:
    asked, limit = live_tasks.Wanted(**wanted), 100
    pages = limit * len(LIVE) * len(seeding.QUEUES) * 2 + 500
    for plan in seeded.measure(lambda conn: live_tasks.choose(conn, asked, limit=limit), pages=pages):
        assert all(node.get("Index Name") != "pk_task" for node in plan.nodes()), str(plan)


def test_a_batch_of_a_purge_is_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: cancel_many.purge(conn, "default", by=Actor("ops"), limit=N), pages=N * 120 + 500)


def test_children_that_a_cancellation_left_follow_flat(seeded: Seeded) -> None:
    parent, *children = seeded.queued[: 2 * N]
    with seeded.conn.begin_nested() as undone:
        family = sa.text("UPDATE task SET parent_id = :parent WHERE id = ANY(:ids)")
        seeded.conn.execute(family, {"parent": parent, "ids": children})
        assert left_children.leave(seeded.conn, {parent: parent})
        seeded.measure(lambda conn: follow(conn, limit=N), pages=N * 120 + 500)
        undone.rollback()


def test_a_change_is_flat(seeded: Seeded) -> None:
    changes = change.Changes(queue="low_priority", tags=["moved"])
    seeded.measure(lambda conn: change.change(conn, seeded.queued[:N], changes, life=timedelta(days=1)), pages=N * 60)


def test_batches_of_operations_are_flat(seeded: Seeded) -> None:
    asked_at = seeded.conn.execute(sa.text("SELECT now()")).scalar_one()
    for kind, conditions in (
        (operations.Kind.CANCEL, {"queue": "default"}),
        (operations.Kind.CANCEL, {"name": seeding.NAMES[0], "state": ["queued"]}),
        (operations.Kind.RETRY, {"code": "smtp_refused"}),
        (operations.Kind.RETRY, {"state": ["cancelled"]}),
        (operations.Kind.DISCARD, {"name": seeding.NAMES[0]}),
    ):
        wanted = operations.wanted_of(kind, conditions, queues=None, asked_at=asked_at)
        change_some = partial(
            operations.change,
            operation=operations.Operation(kind, wanted, Actor("ops")),
            life=timedelta(days=1),
            per_second=50,
            limit=N,
        )
        for behind in (UUID(int=0), seeded.middle):
            seeded.measure(partial(change_some, behind=behind), pages=N * 150 + 1_000)


def test_the_tasks_of_an_operation_are_found_by_it(seeded: Seeded) -> None:
    """Wherever they are among the others, and in whichever state."""
    operation = new_id()
    of: dict[str, Any] = {"id": operation, "live": State.QUEUED, "dead": State.FAILED}
    mark = sa.text(
        "UPDATE task SET operation_id = :id WHERE id = ANY(ARRAY(SELECT id FROM task WHERE state = :live LIMIT 50)"
        " || ARRAY(SELECT id FROM task WHERE state = :dead AND discarded_at IS NULL LIMIT 50))"
    )
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(mark, of)
        live = live_tasks.Wanted(operation_id=operation, states=[State.QUEUED])
        dead = dead_letters.Wanted(operation_id=operation)
        plans = seeded.measure(lambda conn: live_tasks.choose(conn, live, limit=N), pages=600)
        plans += seeded.measure(lambda conn: live_tasks.count(conn, live), pages=600)
        plans += seeded.measure(lambda conn: dead_letters.choose(conn, dead, limit=N), pages=1_500)
        plans += seeded.measure(lambda conn: dead_letters.count(conn, dead), pages=1_500)
        for plan in plans:
            assert any("ix_task_operation" in scan for scan in plan.scans("task")), str(plan)
        undone.rollback()


def test_what_a_preview_counts_with_the_tasks_is_bounded(seeded: Seeded) -> None:
    everything = live_tasks.Wanted(states=[State.QUEUED])
    seeded.measure(lambda conn: live_tasks.descendants(conn, everything), pages=150_000)
