"""What the scheduler looks for, turn by turn. Before the modules that change many tasks: it would read what those took
back."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
import redis
import sqlalchemy as sa

from taskyard.broker.names import Names
from taskyard.domain.tasks import Publication, State
from taskyard.lifecycle import promote, publish, rescue, workers
from taskyard.store import fleet
from taskyard_scheduler import depth, queued_tasks
from taskyard_scheduler.queued_tasks import PAGE, Position, QueuedTasks
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import N, Seeded
from tests.integration.store.plans import plans_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


def test_promotion_and_expiry_are_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: promote.promote(conn, limit=100), pages=100 * 40)
    plans = seeded.measure(promote.next_due, pages=20)
    assert plans[0].scans("task") == ["Index Only Scan ix_task_due"]
    seeded.measure(lambda conn: promote.expire(conn, limit=100), pages=100 * 40)


def test_finding_orphans_touches_running_rows_only(seeded: Seeded) -> None:
    running = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'running'")).scalar_one()
    with seeded.conn.begin_nested():
        found = rescue.orphans(seeded.conn)
        held = workers.held(seeded.conn, seeding.LIVE_WORKER)
    assert found
    assert len(found) + len(held) == running
    seeded.measure(rescue.orphans, pages=running * 2 + 200)
    seeded.measure(lambda conn: workers.held(conn, seeding.LIVE_WORKER), pages=running * 2 + 200)
    seeded.measure(fleet.running_tasks, pages=running * 2 + 200)


def test_depth_reads_only_the_index_of_live_tasks(seeded: Seeded) -> None:
    live = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE finished_at IS NULL")).scalar_one()
    parameters = {"states": [s.value for s in State], "head": 1000}
    (plan,) = seeded.measure(lambda conn: conn.execute(depth._SNAPSHOT, parameters), pages=live // 100 + 5 * 1000 + 500)
    assert "Index Only Scan ix_task_live" in plan.scans("task"), str(plan)


def test_counting_dead_letters_reads_only_their_index(seeded: Seeded) -> None:
    dead = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'failed'")).scalar_one()
    plan, *_ = seeded.measure(depth._count_dead_letters, pages=dead // 50 + 500)
    assert all(scan.startswith("Index Only Scan ix_task_dead_letter") for scan in plan.scans("task")), str(plan)


def test_the_overdue_outbox_is_found_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: publish.overdue(conn, older_than=timedelta(0)), pages=200 * 6)
    (plan,) = plans_of(seeded.conn, lambda conn: publish.overdue(conn, older_than=timedelta(0)))
    assert plan.scans("task") == ["Index Scan pk_task"], str(plan)


def test_a_walk_through_queued_tasks_reads_a_page_and_its_rows(seeded: Seeded) -> None:
    after = min(seeded.queued)
    first = {"queue": "default", "after": after, "limit": 1000, "age": 30.0}
    seeded.measure(lambda conn: conn.execute(queued_tasks._QUEUED, first), pages=1000 + 50)
    (plan,) = seeded.measure(lambda conn: conn.execute(queued_tasks._NEXT_QUEUE, {"queue": "default"}), pages=20)
    assert plan.scans("task") == ["Index Only Scan ix_task_live"], str(plan)


def test_a_turn_of_reconcile_is_flat(seeded: Seeded) -> None:
    """A page of the walk at its beginning, in the middle of a long queue, and at a queue's end."""
    tasks = QueuedTasks(redis.Redis(), Names())
    row = seeded.conn.execute(sa.text("SELECT queue FROM task WHERE id = :id"), {"id": seeded.middle}).one()
    for position in (
        Position(),
        Position("default"),
        Position(row.queue, seeded.middle),
        Position("selection", UUID(int=2**128 - 1)),
    ):
        seeded.measure(lambda conn, position=position: tasks.page(conn, position), pages=PAGE * 2 + 100)  # type: ignore[misc]
    suspects = [Publication(i, "default", 1) for i in seeded.queued]
    seeded.measure(lambda conn: tasks.still_queued(conn, suspects), pages=N * 10 + 50)
    seeded.measure(lambda conn: tasks.publish_again(conn, suspects), pages=N * 20 + 100)


def test_reconcile_reads_a_long_outbox_once_a_page(seeded: Seeded) -> None:
    """After an outage of Redis the outbox holds what was submitted meanwhile: a row a task at worst."""
    tasks = QueuedTasks(redis.Redis(), Names())
    ids = seeded.conn.execute(sa.text("SELECT id FROM task WHERE state = 'queued' LIMIT 500")).scalars()
    suspects = [Publication(i, "default", 1) for i in ids]
    with seeded.conn.begin_nested() as undone:
        fill = "INSERT INTO outbox (task_ids) SELECT ARRAY[gen_random_uuid()] FROM generate_series(1, 5000)"
        seeded.conn.execute(sa.text(fill))
        for verb in (tasks.still_queued, tasks.publish_again):
            for plan in plans_of(seeded.conn, lambda conn, verb=verb: verb(conn, suspects)):  # type: ignore[misc]
                compared = max(n.get("Rows Removed by Join Filter", 0) for n in plan.nodes())
                assert compared < 1_000_000, f"{compared} of 2,500,000 comparisons:\n{plan}"
        undone.rollback()
