"""change: what becomes of a waiting task that gets another queue or time, in each of its states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from taskyard.domain.tasks import WAITING, State
from taskyard.lifecycle.change import Changes, change
from taskyard.lifecycle.committed import Committed

from .rows import PAST, Worker, events, outbox, put, read

LIFE = timedelta(days=1)
AHEAD = timedelta(hours=1)


def changed(conn: Connection, *ids: Any, **given: Any) -> Committed[None]:
    return change(conn, ids, Changes(**given), life=LIFE, actor="ci")


@pytest.mark.parametrize("state", sorted(WAITING))
def test_in_another_queue_it_waits_as_before(conn: Connection, worker: Worker, state: State) -> None:
    task_id = put(conn, state, worker_id=worker.id, due=AHEAD)
    before = read(conn, task_id)
    done = changed(conn, task_id, queue="low_priority")
    row = read(conn, task_id)
    assert (row.queue, row.state, row.run_at, row.due_at) == ("low_priority", state, before.run_at, before.due_at)
    assert [(p.task_id, p.queue) for p in done.publications] == (
        [(task_id, "low_priority")] if state is State.QUEUED else []
    )
    assert bool(outbox(conn)) == (state is State.QUEUED)
    assert events(conn, task_id) == ["changed"]


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING])
def test_a_time_that_has_passed_queues_it_at_once(conn: Connection, worker: Worker, state: State) -> None:
    task_id = put(conn, state, worker_id=worker.id, due=AHEAD)
    done = changed(conn, task_id, run_at=datetime.now(UTC) - timedelta(hours=1))
    assert (read(conn, task_id).state, read(conn, task_id).due_at) == ("queued", None)
    assert [p.task_id for p in done.publications] == [task_id]


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING, State.QUEUED])
def test_a_later_time_is_waited_for_and_wakes_the_scheduler(conn: Connection, worker: Worker, state: State) -> None:
    task_id, at = put(conn, state, worker_id=worker.id, due=PAST), datetime.now(UTC) + timedelta(hours=2)
    done = changed(conn, task_id, run_at=at)
    row = read(conn, task_id)
    assert (row.state, row.due_at) == ("scheduled" if state is State.QUEUED else state, at)
    assert (done.publications, done.wakes_scheduler) == ([], True)


def test_what_was_put_off_in_one_queue_is_due_at_once_in_another(conn: Connection, worker: Worker) -> None:
    """No worker of the first one ran it."""
    task_id = put(conn, State.SCHEDULED, worker_id=worker.id, due=AHEAD, put_offs=3)
    changed(conn, task_id, queue="low_priority")
    assert read(conn, task_id).state == "queued"


def test_many_are_changed_in_one_statement_and_what_does_not_wait_is_left_alone(
    conn: Connection, worker: Worker
) -> None:
    ids = [put(conn, state, worker_id=worker.id) for state in State]
    before = [read(conn, task_id) for task_id in ids]
    done = changed(conn, *ids, tags=["new"])
    assert done.publications == [], "what is queued has been published"
    assert {c.task_id for c in done.changes} == {i for i, state in zip(ids, State, strict=True) if state in WAITING}
    for task_id, row in zip(ids, before, strict=True):
        after = read(conn, task_id)
        assert after.tags == (["new"] if row.state in WAITING else row.tags)
        assert (after.state, after.publication, after.due_at) == (row.state, row.publication, row.due_at)
