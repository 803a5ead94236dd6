"""Deliveries that enter with ends and with progress, and what a task without a callback costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.callbacks import PROGRESS_EVERY, Callback
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, FailureKind, Fault, Succeeded
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.progress import Progress, progress
from taskyard.lifecycle.progress_calls import ProgressCalls, call_progress
from taskyard.lifecycle.submit import submit
from taskyard.store import ledger

from .rows import Worker, new
from .statements import statements_of


def begun(worker: Worker, *on: str, told: bool = True, support_url: str | None = None) -> Any:
    """A claimed task with a callback, or without one."""
    callback = Callback(url="https://h/", endpoint_id=new_id(), on=on, told=told, support_url=support_url)
    task = new(callback=callback if on else None)
    submit(worker.conn, [task])
    (won,) = worker.claim([task.id], uuid4())
    return won


def end(won: Any, result: object = None) -> Finished:
    return Finished(won.id, won.claim, Succeeded(result or {"a": 1}), 0.1, calls_back=won.calls_back)


def deliveries(conn: Connection) -> list[Any]:
    return list(conn.execute(sa.text("SELECT * FROM task WHERE name = 'webhooks.deliver' ORDER BY id")))


def test_a_task_without_a_callback_has_no_further_statement_and_no_further_step(worker: Worker, engine: Engine) -> None:
    won = begun(worker)
    assert won.calls_back is False
    with statements_of(engine) as statements:
        progress(worker.conn, [Progress(won.id, won.claim, 1)])
        assert not finish(worker.conn, [end(won)]).wakes_scheduler
    assert len(statements) == 2
    assert not any("callback_task" in statement for statement in statements)
    assert deliveries(worker.conn) == []


def test_an_end_with_its_delivery_is_one_statement_also_beside_others(worker: Worker, engine: Engine) -> None:
    plain, calling = begun(worker), begun(worker, "final")
    assert calling.calls_back is True
    with statements_of(engine) as statements:
        done = finish(worker.conn, [end(plain), end(calling)])
    assert len(statements) == 1
    assert done.wakes_scheduler
    assert len(done.answer) == 2
    (delivery,) = deliveries(worker.conn)
    assert delivery.params["payload"]["data"]["id"] == str(calling.id)


def test_an_end_that_is_undone_leaves_no_delivery(worker: Worker, engine: Engine) -> None:
    won = begun(worker, "final")
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as conn:
        finish(conn, [end(won)])
        conn.rollback()
    assert deliveries(worker.conn) == []
    finish(worker.conn, [end(won)])
    finish(worker.conn, [end(won)])  # a repeat wins nothing, and tells nothing
    assert len(deliveries(worker.conn)) == 1


def test_who_may_not_read_is_told_that_it_ended_and_no_more(worker: Worker) -> None:
    won = begun(worker, "final", told=False)
    finish(worker.conn, [end(won, {"secret": 1})])
    (delivery,) = deliveries(worker.conn)
    assert delivery.params["payload"]["type"] == "task.succeeded"
    assert "result" not in delivery.params["payload"]["data"]


@pytest.mark.parametrize("support_url", [None, "https://support.example.org"])
def test_an_error_is_told_with_the_address_of_help_where_there_is_one(worker: Worker, support_url: str | None) -> None:
    won = begun(worker, "final", support_url=support_url)
    fault = Fault("out_of_luck", "It went wrong.", "Error", False, FailureKind.EXCEPTION)
    finish(worker.conn, [Finished(won.id, won.claim, Failed(fault), 0.1, calls_back=won.calls_back)])
    (delivery,) = deliveries(worker.conn)
    help_shown = {} if support_url is None else {"support_url": support_url}
    told = {"code": "out_of_luck", "message": "It went wrong.", **help_shown}
    assert delivery.params["payload"]["data"]["error"] == told


def test_a_callback_for_progress_only_is_not_told_of_the_end(worker: Worker) -> None:
    won = begun(worker, "progress")
    assert progress(worker.conn, [Progress(won.id, won.claim, 1)]).answer == {won.id: True}
    finish(worker.conn, [end(won)])
    assert deliveries(worker.conn) == []


def test_one_delivery_of_a_tasks_progress_waits_at_a_time(worker: Worker, engine: Engine) -> None:
    won = begun(worker, "progress", "final")
    for seconds in (5, 0):
        with ledger.transaction(engine) as conn:
            call_progress(conn, {won.id: timedelta(seconds=seconds)})
    (delivery,) = deliveries(worker.conn)
    assert delivery.params["progress_of"] == str(won.id)
    assert delivery.due_at is not None


def test_of_much_progress_few_deliveries_come_and_none_is_the_last_one_left_out() -> None:
    calls, task_id = ProgressCalls(), UUID(int=1)
    every = PROGRESS_EVERY.total_seconds()
    due = [now + d.total_seconds() for now in map(float, range(21)) for d in calls.delays([task_id], now).values()]
    assert due == [0.0, every, 2 * every, 3 * every, 4 * every, 5 * every][: len(due)]
    assert due[-1] >= 20.0, "the newest progress is told, though nothing follows it"


def test_the_progress_of_the_next_attempt_waits_its_turn_and_what_is_over_takes_no_memory() -> None:
    calls, task_id, other = ProgressCalls(), UUID(int=1), UUID(int=2)
    assert calls.delays([task_id], 0.0) == {task_id: timedelta(0)}
    assert calls.delays([task_id], 1.0) == {task_id: PROGRESS_EVERY - timedelta(seconds=1)}, "of another attempt, maybe"
    assert calls.delays([other], 10.5) == {other: timedelta(0)}
    assert set(calls._due) == {other}
    assert calls.delays([task_id], 10.5) == {task_id: timedelta(0)}
