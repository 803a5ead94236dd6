"""Workflows: steps that a person runs again, alone or all together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import State
from taskyard.domain.workflows import FlowState
from taskyard.lifecycle import cancel, held_steps, workflows
from taskyard.lifecycle.retry import retry
from taskyard.store.audit import Actor

from .flows import BAD, Flow, flow_of
from .rows import Worker, read
from .test_races import behind

Q, B, S, C = State.QUEUED, State.BLOCKED, State.SUCCEEDED, State.CANCELLED
LIFE = timedelta(hours=1)


def test_an_optional_need_that_runs_again_is_counted_once(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": [], "join": ["a", "b"]}, optional=["a"])
    for _ in range(2):
        flow.end("a", outcome=BAD)
        retry(conn, [flow.ids["a"]], life=LIFE)
    flow.end("a")
    assert flow.states() == {"a": S, "b": Q, "join": B}
    flow.end("b")
    assert flow.state("join") is Q
    flow.end("join")
    assert (flow.row.state, flow.row.succeeded) == ("succeeded", 3)


def test_a_retry_of_a_workflow_waits_for_optional_needs_once(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": [], "join": ["a", "b"], "after": ["join"]}, optional=["a"])
    flow.end("a", "b", outcome=BAD)
    flow.sweep()
    workflows.retry_workflow(conn, flow.id, by=Actor("ci"))
    flow.end("a", outcome=BAD)
    assert flow.state("join") is B
    flow.end("b")
    assert flow.state("join") is Q


def test_a_step_that_a_failure_held_goes_on_when_the_failed_one_runs_again(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": [], "k": ["b"]})
    flow.end("a", outcome=BAD)
    flow.end("b")
    assert flow.state("k") is B
    retry(conn, [flow.ids["a"]], life=LIFE)
    flow.sweep()
    assert flow.states() == {"a": Q, "b": S, "k": Q}
    flow.end("a", "k")
    assert flow.row.state == "succeeded"


def test_a_step_is_unblocked_by_an_end_that_waited_for_the_retry_of_its_workflow(
    engine: Engine, conn: Connection, worker: Worker
) -> None:
    flow = flow_of(worker, {"a": [], "z": [], "j": ["a"]}, optional=["a"])
    flow.end("z", outcome=BAD)
    flow.sweep()
    assert flow.state("j") is C

    behind(
        engine,
        lambda own: workflows.retry_workflow(own, flow.id, by=Actor("ci")),
        lambda own: cancel.cancel(own, [flow.ids["a"]]),
    )
    assert flow.states() == {"a": C, "z": Q, "j": Q}


def test_a_step_that_runs_alone_takes_no_null_of_a_need_that_failed(conn: Connection, worker: Worker) -> None:
    takes = {"c": [(("to",), "a", ("value",))]}
    flow = flow_of(worker, {"a": [], "c": ["a"]}, takes=takes, c={"params": {"to": 1}})
    flow.end("a", outcome=BAD)
    flow.sweep()
    retry(conn, [flow.ids["c"]], life=LIFE)
    (work,) = worker.claim([flow.ids["c"]])
    assert (work.unresolved, work.unresolved_at) == ("result_missing", "/to")


def test_an_end_of_its_own_that_is_ahead_outlasts_a_retry_of_the_workflow(conn: Connection, worker: Worker) -> None:
    end = datetime.now(UTC) + timedelta(hours=3)
    own: dict[str, Any] = {"expires_at": end, "life_seconds": 60.0}
    flow = flow_of(worker, {"a": [], "b": ["a"], "c": ["a"]}, a=own, b=own, c={"life_seconds": 60.0})
    flow.end("a", outcome=BAD)
    flow.sweep()
    workflows.retry_workflow(conn, flow.id, by=Actor("ci"))
    assert [read(conn, flow.ids[name]).expires_at for name in "abc"] == [end, end, None]
    flow.end("a")
    assert read(conn, flow.ids["b"]).expires_at == end


def test_a_step_that_runs_alone_has_its_life_though_its_needs_were_never_met(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": ["a"], "c": ["a"]}, b={"life_seconds": 60.0})
    flow.end("a", outcome=BAD)
    flow.sweep()
    retry(conn, [flow.ids["b"], flow.ids["c"]], life=LIFE)
    row = read(conn, flow.ids["b"])
    assert row.expires_at - row.run_at == timedelta(seconds=60)
    assert read(conn, flow.ids["c"]).expires_at is None


def told(flow: Flow) -> tuple[list[str], int]:
    """The kinds of its events, and how many rows of the audit log name it."""
    kinds = sa.text("SELECT kind FROM workflow_event WHERE workflow_id = :id ORDER BY id")
    rows = sa.text("SELECT count(*) FROM audit WHERE target_id = :id")
    return list(flow.conn.scalars(kinds, {"id": flow.id})), flow.conn.scalars(rows, {"id": str(flow.id)}).one()


def test_a_cancellation_that_is_repeated_is_recorded_once(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": []})
    for _ in range(2):
        assert workflows.cancel_workflow(conn, flow.id, by=Actor("ci")).answer is FlowState.RUNNING
    assert told(flow) == (["cancel_requested"], 1)


def test_a_refused_retry_writes_nothing(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": []})
    flow.claim("a")
    workflows.cancel_workflow(conn, flow.id, by=Actor("ci"))
    flow.finish("a")
    before = flow.row, told(flow)
    assert before[0].state == "cancelled"
    done = workflows.retry_workflow(conn, flow.id, by=Actor("ci"))
    assert done.answer == workflows.Retried(FlowState.CANCELLED)
    assert (flow.row, told(flow)) == before


def test_the_leader_unblocks_what_was_left_behind_a_page_at_a_time(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], **{f"b{n}": ["a"] for n in range(4)}})
    stopped = flow_of(worker, {"a": [], "b": ["a"]})
    workflows.cancel_workflow(conn, stopped.id, by=Actor("ci"))
    left = sa.text("UPDATE workflow_step SET pending_needs = 0 WHERE task_id = ANY(:ids)")
    conn.execute(left, {"ids": [flow.ids["b0"], flow.ids["b3"], stopped.ids["b"]]})
    after, turns = held_steps.recheck(conn, None, limit=2).answer, 1
    assert after == flow.ids["b1"]
    assert flow.state("b0") is Q
    while after is not None:
        after, turns = held_steps.recheck(conn, after, limit=2).answer, turns + 1
    assert turns == 3
    assert [flow.state(f"b{n}") for n in range(4)] == [Q, B, B, Q]
    assert stopped.state("b") is B
