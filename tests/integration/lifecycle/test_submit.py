"""submit: accepted work is in the ledger, once, with an outbox row for what is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import State
from taskyard.lifecycle import cancel, submit
from taskyard.lifecycle.committed import Committed

from .rows import Worker, new, outbox, read

Submit = Callable[..., Committed[list[submit.SubmittedTask]]]
BOTH: tuple[Submit, ...] = (submit.submit, submit.submit_first)


def count(conn: Connection) -> int:
    return int(conn.execute(sa.text("SELECT count(*) FROM task")).scalar_one())


def test_tasks_come_back_in_the_order_they_were_given(conn: Connection) -> None:
    tasks = [new() for _ in range(5)]
    asked = [tasks[n] for n in (3, 0, 4, 2, 1)]
    done = submit.submit(conn, asked)
    assert [t.id for t in done.answer] == [t.id for t in asked]
    assert [p.task_id for p in done.publications] == [t.id for t in asked]
    assert outbox(conn) == {done.outbox_ids[0]: {t.id for t in asked}}


def test_everything_that_was_asked_for_is_kept(conn: Connection) -> None:
    asked: dict[str, Any] = {
        "params": {"ü": [1, 2.5, None, {"a": "\u2028"}]},
        "version": 2,
        "expires_at": datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "tags": ["b", 'quo"te', "comma,", "{}", "\\", "NULL", ""],
        "on_cancel": "leave_children",
        "unique": submit.Unique("k", "active"),
        "request_id": "r",
        "traceparent": "t",
        "submitted_by": "ci",
        "allowed_queues": ["a", "b"],
        "workflow_id": new().id,
        "schedule_id": new().id,
        "parent_id": new().id,
    }
    task = new(**asked)
    submit.submit(conn, [task])
    row = read(conn, task.id)._mapping
    assert {k: row[k] for k in asked if k != "unique"} == {k: v for k, v in asked.items() if k != "unique"}
    assert row["unique_hold"] == "active"
    assert (row["attempt"], row["failures"], row["crashes"], row["state"]) == (0, 0, 0, "queued")


@pytest.mark.parametrize(
    ("when", "state"),
    [
        ({}, State.QUEUED),
        ({"delay_seconds": 0.0}, State.QUEUED),
        ({"delay_seconds": -5.0}, State.QUEUED),
        ({"delay_seconds": 30.0}, State.SCHEDULED),
        ({"run_at": datetime(2001, 1, 1, tzinfo=UTC)}, State.QUEUED),
        ({"run_at": datetime(9999, 12, 31, tzinfo=UTC)}, State.SCHEDULED),
        ({"run_at": datetime(9999, 12, 31, tzinfo=UTC), "delay_seconds": -5.0}, State.SCHEDULED),
    ],
)
def test_what_is_due_is_queued_and_the_rest_waits(conn: Connection, when: dict[str, Any], state: State) -> None:
    task = new(**when)
    done = submit.submit(conn, [task])
    row = read(conn, task.id)
    assert done.answer[0].state == row.state == state
    is_queued = state is State.QUEUED
    assert (row.due_at is None) == is_queued
    assert (row.queued_at is not None) == is_queued
    assert row.publication == done.answer[0].publication == int(is_queued)
    assert bool(done.publications) == is_queued
    assert (bool(done.outbox_ids)) == is_queued
    assert len(outbox(conn)) == int(is_queued)


def test_the_outbox_row_covers_exactly_the_queued_ones(conn: Connection) -> None:
    tasks = [new(delay_seconds=60.0 if n % 2 else None) for n in range(6)]
    done = submit.submit(conn, tasks)
    assert outbox(conn) == {done.outbox_ids[0]: {t.id for t in tasks[::2]}}


@pytest.mark.parametrize("verb", BOTH)
def test_submitting_the_same_ids_again_is_harmless(conn: Connection, verb: Submit) -> None:
    """The commit whose answer got lost did happen."""
    tasks = [new(), new(delay_seconds=60.0)]
    first = verb(conn, tasks)
    again = verb(conn, [*tasks, new()])
    assert again.answer[:2] == first.answer
    assert count(conn) == 3
    assert [p.task_id for p in again.publications] == [tasks[0].id, again.answer[2].id]
    assert outbox(conn)[again.outbox_ids[0]] == {again.answer[2].id}


@pytest.mark.parametrize("verb", BOTH)
def test_submitting_again_tells_what_has_become_of_the_tasks(conn: Connection, worker: Worker, verb: Submit) -> None:
    tasks = [new(), new()]
    verb(conn, tasks)
    worker.claim([tasks[0].id])
    cancel.cancel(conn, [tasks[1].id])
    again = verb(conn, tasks)
    assert [t.state for t in again.answer] == [State.RUNNING, State.CANCELLED]
    assert not again.publications
    assert not again.outbox_ids


@pytest.mark.parametrize("verb", BOTH)
def test_the_same_id_twice_in_a_batch_is_one_task(conn: Connection, verb: Submit) -> None:
    task = new()
    done = verb(conn, [task, task])
    assert [t.id for t in done.answer] == [task.id, task.id]
    assert count(conn) == 1


def test_no_tasks_are_no_transaction(conn: Connection) -> None:
    assert submit.submit(conn, []) == Committed([])
    assert not outbox(conn)


@pytest.mark.parametrize(
    "poison", [{"params": {"a": "\x00"}}, {"name": "\x00"}, {"delay_seconds": 1e300}, {"queue": None}], ids=str
)
def test_a_batch_with_one_task_that_cannot_be_stored_fails_whole(conn: Connection, poison: dict[str, Any]) -> None:
    """Documented: the collector refuses what it can beforehand, and halves the batch for the rest."""
    good = new()
    with pytest.raises(sa.exc.DBAPIError) as caught:
        submit.submit(conn, [good, new(**poison)])
    assert str(getattr(caught.value.orig, "sqlstate", ""))[:2] in {"22", "23"}
    assert count(conn) == 0
    assert not outbox(conn)
    assert len(submit.submit(conn, [good]).answer) == 1


def test_a_big_batch_is_one_outbox_row(conn: Connection) -> None:
    done = submit.submit(conn, [new() for _ in range(1000)])
    assert len(done.publications) == 1000
    assert [len(ids) for ids in outbox(conn).values()] == [1000]


def test_ids_and_times_come_from_two_clocks_and_neither_is_mistaken_for_the_other(conn: Connection) -> None:
    task = new(delay_seconds=60.0)
    done = submit.submit(conn, [task])
    row = read(conn, task.id)
    assert row.due_at - row.created_at == timedelta(seconds=60)
    assert done.answer[0].run_at == row.run_at == row.due_at
