"""Submits, claims and the writes of an attempt."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
import sqlalchemy as sa

from taskyard.domain.tasks import Failed, Released, State, Succeeded
from taskyard.lifecycle import cancel, claim, explanation, finish, progress, rescue, retry, submit
from taskyard.lifecycle.put_off import put_off, take_up
from taskyard.store import reads, task_types
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import FAULT, TYPES, N, Seeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


def test_the_seed_is_a_million_tasks_in_every_state(seeded: Seeded) -> None:
    rows = seeded.conn.execute(sa.text("SELECT state, count(*) AS tasks FROM task GROUP BY state")).all()
    counts: dict[str, int] = {row.state: row.tasks for row in rows}
    assert sum(counts.values()) == seeding.MILLION
    assert set(State) - set(counts) == {State.BLOCKED}
    assert min(counts.values()) > 100


def test_submit_is_flat(seeded: Seeded) -> None:
    # A row goes into the table and five indexes, each some four levels deep.
    seeded.measure(lambda conn: submit.submit(conn, [seeded.new() for _ in range(N)]), pages=N * 40)


def test_claim_is_flat(seeded: Seeded) -> None:
    claim_id = uuid4()
    seeded.measure(lambda conn: seeded.claim(conn, claim_id), pages=N * 40)
    with seeded.conn.begin_nested() as undone:
        assert len(seeded.claim(seeded.conn, claim_id)) == N
        undone.rollback()


def test_explaining_and_putting_off_lost_claims_is_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: claim.refusals(conn, seeded.queued, types={"other": 1}), pages=N * 10)
    # Another worker lives and runs all of them.
    elsewhere = partial(claim.refusals, ids=seeded.queued, types=dict.fromkeys(TYPES, 0), lease=timedelta(days=1))
    with seeded.conn.begin_nested() as undone:
        task_types.write_worker(seeded.conn, seeding.LIVE_WORKER, TYPES)
        assert {refusal.reason for refusal in elsewhere(seeded.conn)} == {"elsewhere"}
        seeded.measure(elsewhere, pages=N * 30)
        undone.rollback()
    seeded.measure(lambda conn: put_off(conn, seeded.queued, reason="unknown"), pages=N * 50)


def test_explaining_a_task_counts_what_is_before_it_up_to_a_bound(seeded: Seeded) -> None:
    """The newest task of each queue and state: all others of the queue are before it."""
    newest = "SELECT DISTINCT ON (state, queue) id FROM task ORDER BY state, queue, id DESC"
    attempts = """INSERT INTO task_attempt (task_id, attempt, outcome, queue)
        SELECT id, 1, 'failed', queue FROM task LIMIT 5000"""
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(sa.text(attempts))
        for task_id in seeded.conn.execute(sa.text(newest)).scalars().all():
            explain = partial(explanation.facts_of, task_id=task_id, lease=timedelta(seconds=20))
            plan, *_ = seeded.measure(explain, pages=explanation.MOST_AHEAD // 50 + 100)
            scans = plan.scans("task")
            assert "Index Only Scan ix_task_live" in scans, str(plan)
            assert any("ix_task_limited_" in scan for scan in scans), str(plan)
            found = explain(seeded.conn)
            assert found is not None
            if seeded.is_waiting and (found.task["state"], found.task["queue"]) == ("queued", "default"):
                assert found.task["ahead"] == explanation.MOST_AHEAD + 1
        undone.rollback()


def test_taking_up_what_was_put_off_reads_the_beginning_of_an_index(seeded: Seeded) -> None:
    take = partial(take_up, queues=seeding.QUEUES, types=TYPES, limit=100)
    with seeded.conn.begin_nested() as undone:
        put_off(seeded.conn, seeded.queued, reason="unknown")
        seeded.measure(take, pages=100 * 40)
        assert take(seeded.conn).answer > 0
        undone.rollback()


def test_the_writes_of_an_attempt_are_flat(seeded: Seeded) -> None:
    claim_id = uuid4()
    with seeded.conn.begin_nested() as undone:
        ids = [won.id for won in seeded.claim(seeded.conn, claim_id)]
        for outcome in (Succeeded({"value": 1}), Failed(FAULT), Released("drained")):
            for is_step, pages in ((False, 50), (True, 60)):  # no steps, or nobody knows
                ends = [finish.Finished(i, claim_id, outcome, 0.1, is_step=is_step) for i in ids]
                seeded.measure(lambda conn, ends=ends: finish.finish(conn, ends), pages=N * pages)  # type: ignore[misc]
        lost = [rescue.Lost(i, claim_id, rescue.Guilt.GUILTY, "killed") for i in ids]
        seeded.measure(lambda conn: rescue.lose(conn, lost), pages=N * 60)
        standing = [progress.Progress(i, claim_id, 1, 2, "half") for i in ids]
        seeded.measure(lambda conn: progress.progress(conn, standing), pages=N * 30)
        notes = [progress.Note(i, claim_id, "log", {"message": "x"}) for i in ids]
        seeded.measure(lambda conn: progress.annotate(conn, notes), pages=N * 30)
        undone.rollback()


def test_cancel_and_retry_are_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: cancel.cancel(conn, seeded.queued), pages=N * 50)
    seeded.measure(lambda conn: retry.retry(conn, seeded.failed, life=timedelta(days=1)), pages=N * 50)


def test_reading_tasks_by_their_ids_is_flat(seeded: Seeded) -> None:
    seeded.measure(lambda conn: reads.task_by_id(conn, seeded.queued[0]), pages=10)
    seeded.measure(lambda conn: reads.standings(conn, seeded.queued), pages=N * 15)
