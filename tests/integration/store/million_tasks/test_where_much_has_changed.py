"""Beside much that has just been written. The last module: it takes that back, and leaves dead rows that the others
would read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Succeeded
from taskyard.domain.workflows import NewStep, NewWorkflow, OnFailure
from taskyard.lifecycle import cancel, claim, finish, held_steps, progress, rescue, sweeps, workflows
from taskyard.store import fleet
from taskyard.store import workflows as flows
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import TYPES, N, Seeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


def test_the_ends_of_steps_are_flat(seeded: Seeded) -> None:
    """Beside two hundred thousand steps of other workflows."""
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(
            sa.text(
                "INSERT INTO workflow_step (task_id, workflow_id, name, pending_needs, needs, leads_to)"
                " SELECT gen_random_uuid(), gen_random_uuid(), 's', 0, '{}', '{}' FROM generate_series(1, 200000)"
            )
        )
        seeded.conn.execute(sa.text("ANALYZE workflow_step"))
        flow, join, claim_id = new_id(), seeded.new(), uuid4()
        heads = [seeded.new() for _ in range(N)]
        for task in (*heads, join):
            task.workflow_id = flow
        steps = [NewStep(task=task, name=f"s{n}", leads_to=[join.id]) for n, task in enumerate(heads)]
        steps.append(NewStep(task=join, name="join", needs=[task.id for task in heads]))
        new = NewWorkflow(id=flow, name=None, on_failure=OnFailure.CANCEL_REST, steps=steps)
        workflows.start(seeded.conn, new)
        ids = [task.id for task in heads]
        claim_all = partial(claim.claim, worker_id=seeding.LIVE_WORKER, worker="w:1", types=TYPES)
        assert len(claim_all(seeded.conn, ids, claim=claim_id).answer) == N
        ends = [finish.Finished(i, claim_id, Succeeded({"value": 1}), 0.1) for i in ids]
        plans = seeded.measure(lambda conn: finish.finish(conn, ends), pages=N * 90)
        plans += seeded.measure(lambda conn: cancel.cancel(conn, ids), pages=N * 90)
        seeded.conn.execute(sa.text("UPDATE workflow SET marks = 1 WHERE id = :id"), {"id": flow})
        plans += seeded.measure(sweeps.marked, pages=100)
        plans += seeded.measure(partial(sweeps.sweep, workflow_id=flow), pages=(N + 1) * 90)
        plans += seeded.measure(lambda conn: flows.steps_page(conn, flow), pages=N * 30)
        for plan in plans:
            assert not plan.seq_scans & {"workflow_step"}, plan
        undone.rollback()


def test_the_leaders_walk_over_blocked_steps_reads_a_page(seeded: Seeded) -> None:
    with seeded.conn.begin_nested() as undone:
        block = sa.text(
            "WITH chosen AS (SELECT id FROM task WHERE state = 'queued' ORDER BY id LIMIT 20000), now_blocked AS ("
            " UPDATE task t SET state = 'blocked', workflow_id = :flow FROM chosen c WHERE t.id = c.id RETURNING t.id)"
            " INSERT INTO workflow_step (task_id, workflow_id, name, pending_needs, needs, leads_to)"
            " SELECT id, :flow, 's', 1, '{}', '{}' FROM now_blocked"
        )
        seeded.conn.execute(block, {"flow": new_id()})
        seeded.conn.execute(sa.text("ANALYZE workflow_step"))
        for after in (None, seeded.middle):
            plans = seeded.measure(lambda conn, after=after: held_steps.recheck(conn, after), pages=200 * 10)  # type: ignore[misc]
            assert plans[0].scans("task") == ["Index Only Scan ix_task_blocked"], str(plans[0])
            assert not plans[0].seq_scans & {"workflow_step"}, str(plans[0])
        undone.rollback()


def test_the_load_of_a_queue_reads_no_more_where_many_wait_for_a_limit(seeded: Seeded) -> None:
    """60,000 in a queue of their own. The last test: it leaves as many dead rows."""
    held = """INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds,
            state, run_at, limits, limited)
        SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'held.back', 'held', '{}', 4, 540, 600, 'queued', now(),
            '{"key": "k", "concurrent": 1}', 'waiting' FROM generate_series(1, 6 * :most) n"""
    count = partial(fleet.load, names=["held"], lease=timedelta(seconds=20))
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(sa.text(held), {"most": fleet.MOST_COUNTED})
        (plan,) = seeded.measure(
            count, pages=3 * fleet.MOST_COUNTED + 500
        )  # rows that nobody else sees yet are looked at
        assert any(scan.endswith("ix_task_limited_queue") for scan in plan.scans("task")), str(plan)
        assert count(seeded.conn)["waiting"] == 0
        undone.rollback()


def test_the_writes_of_an_attempt_read_their_tasks_only_though_statistics_are_of_an_idle_hour(seeded: Seeded) -> None:
    conn, claim_id = seeded.conn, uuid4()
    with conn.begin_nested() as undone:
        conn.execute(sa.text("UPDATE task SET state = 'queued', claim = NULL WHERE state = 'running'"))
        conn.execute(sa.text("ANALYZE task"))
        begin = (
            "UPDATE task SET state = 'running', claim = gen_random_uuid() WHERE id IN (SELECT id FROM task WHERE {})"
        )
        conn.execute(sa.text(begin.format("state = 'queued' AND id <> ALL(:ids) LIMIT 5000")), {"ids": seeded.queued})
        ids = [won.id for won in seeded.claim(conn, claim_id)]
        assert len(ids) == N
        ends = [finish.Finished(i, claim_id, Succeeded(None), 0.1, is_step=False) for i in ids]
        lost = [rescue.Lost(i, claim_id, rescue.Guilt.GUILTY, "killed") for i in ids]
        verbs: list[Callable[[Connection], object]] = [
            lambda conn: finish.finish(conn, ends),
            lambda conn: rescue.lose(conn, lost),
            lambda conn: progress.progress(conn, [progress.Progress(i, claim_id, 1, 2, "half") for i in ids]),
            lambda conn: progress.annotate(conn, [progress.Note(i, claim_id, "log", {}) for i in ids]),
        ]
        for verb in verbs:
            for plan in seeded.measure(verb, pages=N * 60):
                assert {*plan.scans("task")} <= {"Index Scan pk_task"}, str(plan)
        undone.rollback()
