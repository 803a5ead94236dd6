"""submit of tasks that are due at once: what is answered without reading the rows is what the rows have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from taskyard.domain.callbacks import Callback
from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle import submit
from taskyard.store import ledger
from taskyard.store.sqlstates import Meaning, meaning

from .limited import set_queue
from .rows import new, outbox, read
from .statements import statements_of

KINDS: list[dict[str, Any]] = [
    {},
    {"params": {"a": [[1], [2, 3]], "b": None}},
    {"request_id": "r", "traceparent": "t"},
    {"queue": "other", "tags": ["a", "{}"]},
    {"submitted_by": "ü", "allowed_queues": ["b", "a"], "on_cancel": "leave_children"},
    {"expires_at": datetime(2100, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)},
    {"life_seconds": 0.0000015},
    {"life_seconds": None},
    {"workflow_id": new().id, "schedule_id": new().id, "parent_id": new().id},
    {"callback": Callback(url="https://example.org/x", endpoint_id=new().id, on=("final",), told=True)},
    {"name": "another", "version": 7, "max_attempts": 2, "soft_timeout_seconds": 1.5, "hard_timeout_seconds": 2.5},
]


def test_tasks_of_every_kind_in_one_batch_are_kept_and_answered(conn: Connection) -> None:
    tasks = [new(**kind) for kind in [*KINDS, {}, *KINDS] for _ in range(2)]
    with statements_of(conn) as seen:
        done = submit.submit(conn, tasks)
    assert not seen, "one statement, and no row was read"
    for task, answer, change in zip(tasks, done.answer, done.changes, strict=True):
        row = read(conn, task.id)
        assert (answer.created_at, answer.run_at, answer.expires_at) == (row.created_at, row.run_at, row.expires_at)
        assert (answer.id, answer.state, answer.publication) == (row.id, row.state, row.publication)
        assert (change.task_id, change.state, change.attempt) == (row.id, row.state, row.attempt)
        assert (change.name, change.queue, change.workflow_id) == (row.name, row.queue, row.workflow_id)
        kept = row._mapping
        for field in ("name", "queue", "params", "version", "max_attempts", "request_id", "traceparent", "parent_id"):
            assert kept[field] == getattr(task, field), field
        assert kept["tags"] == list(task.tags)
        for field in ("on_cancel", "submitted_by", "allowed_queues", "workflow_id", "schedule_id"):
            assert kept[field] == getattr(task, field), field
        for field in ("soft_timeout_seconds", "hard_timeout_seconds"):
            assert kept[field] == getattr(task, field), field
        assert (kept["callback"] or {}).get("url") == (task.callback.url if task.callback else None)
        assert (row.due_at, row.unique_hold, row.limits) == (None, None, None)
    assert [p.task_id for p in done.publications] == [task.id for task in tasks]
    assert outbox(conn) == {done.outbox_ids[0]: {task.id for task in tasks}}


def test_what_waits_for_its_queue_is_not_published(conn: Connection) -> None:
    set_queue(conn, "limited", concurrent=1)
    tasks = [new(queue="limited"), new(), new(queue="limited")]
    done = submit.submit(conn, tasks)
    assert [p.task_id for p in done.publications] == [tasks[1].id]
    assert outbox(conn) == {done.outbox_ids[0]: {tasks[1].id}}
    assert done.wakes_scheduler
    assert [read(conn, task.id).limited for task in tasks] == ["waiting", None, "waiting"]
    only = submit.submit(conn, [new(queue="limited")])
    assert (only.publications, only.outbox_ids, only.wakes_scheduler) == ([], [], True)


def test_in_a_transaction_it_is_undone_with_it(engine: Engine) -> None:
    task = new()

    def fails() -> None:
        with ledger.transaction(engine) as conn:
            submit.submit(conn, [task])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with ledger.connection(engine) as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM task")).scalar_one() == 0
        assert submit.submit(conn, [task]).publications


def test_a_value_that_cannot_be_stored_is_told_as_ever_and_the_connection_goes_on(engine: Engine) -> None:
    with ledger.connection(engine) as conn:
        for _ in range(2):
            with pytest.raises(DBAPIError) as caught:
                submit.submit(conn, [new(params={"a": "\x00"})])
            assert meaning(caught.value) is Meaning.BAD_DATA
            assert submit.submit(conn, [new()]).publications


def test_a_connection_that_the_server_ended_is_replaced(engine: Engine, conn: Connection) -> None:
    ended: list[int] = []

    def once(own: Connection) -> Any:
        submit.submit(own, [new()])
        if not ended:
            ended.append(own.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())
            conn.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ended[0]})
        return submit.submit(own, [new()])

    assert ledger.run(engine, once).publications
    assert conn.execute(sa.text("SELECT count(*) FROM task")).scalar_one() == 3


def test_a_server_that_stays_away_is_told(engine: Engine, conn: Connection) -> None:
    def always(own: Connection) -> Any:
        pid = own.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        conn.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        return submit.submit(own, [new()])

    with pytest.raises(LedgerUnavailable):
        ledger.run(engine, always)
