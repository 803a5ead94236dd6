"""Queues and workers as pages and autoscalers ask for them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from taskyard.store import fleet
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import Seeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


def test_the_load_of_all_queues_reads_no_more_than_the_bound_of_each(seeded: Seeded) -> None:
    due = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE due_at <= now()")).scalar_one()
    running = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'running'")).scalar_one()
    bound = len(seeding.QUEUES) * 2 * fleet.MOST_COUNTED // 50 + 2 * running + 2 * due + 100
    seeded.measure(lambda conn: fleet.load(conn, seeding.QUEUES, lease=timedelta(seconds=20)), pages=bound)
    counted = fleet.load(seeded.conn, seeding.QUEUES, lease=timedelta(seconds=20))
    assert counted["waiting"] > 10 * running if seeded.is_waiting else counted["waiting"] > 0
    assert counted["waiting"] <= len(seeding.QUEUES) * fleet.MOST_COUNTED
    assert counted["running"] == running


def test_what_waits_in_a_queue_is_counted_by_type_up_to_a_bound(seeded: Seeded) -> None:
    for queue in seeding.QUEUES:
        count = partial(fleet.waiting_types, queue=queue)
        (plan,) = seeded.measure(count, pages=fleet.MOST_COUNTED * 2 + 500)
        assert plan.scans("task") == ["Index Scan ix_task_live"], str(plan)
        assert sum(row["tasks"] for row in count(seeded.conn)) <= fleet.MOST_COUNTED


def test_what_a_worker_runs_is_read_by_its_ids(seeded: Seeded) -> None:
    ids = list(seeded.conn.execute(sa.text("SELECT id FROM task WHERE state = 'running' LIMIT 64")).scalars())
    (plan,) = seeded.measure(lambda conn: fleet.tasks_that_run(conn, ids, seeding.QUEUES), pages=len(ids) * 8 + 50)
    assert all("pk_task" in scan for scan in plan.scans("task")), str(plan)
