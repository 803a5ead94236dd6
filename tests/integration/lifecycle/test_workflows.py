"""Workflows: what the end of a step means for the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.callbacks import Callback
from taskyard.domain.errors import TaskError
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import State, Succeeded
from taskyard.lifecycle import finish, submit, workflows
from taskyard.store import ledger
from taskyard.store.audit import Actor

from .flows import BAD, GONE, OK, Flow, flow_of
from .rows import Worker, claim_of, events, new, outbox, read

Q, B, S, F, C = State.QUEUED, State.BLOCKED, State.SUCCEEDED, State.FAILED, State.CANCELLED
CHORD = {"a": [], "b": [], "join": ["a", "b"], "after": ["join"]}


def test_a_join_runs_when_the_last_of_its_needs_has_succeeded_and_has_its_outbox_row(
    conn: Connection, worker: Worker
) -> None:
    flow = flow_of(worker, CHORD)
    assert flow.states() == {"a": Q, "b": Q, "join": B, "after": B}
    flow.end("a")
    assert flow.state("join") is B
    flow.end("b")
    assert flow.state("join") is Q
    assert {flow.ids["join"]} in outbox(conn).values()
    flow.end("join")
    flow.end("after")
    assert (flow.row.state, flow.row.succeeded) == ("succeeded", 4)
    assert flow.row.finished_at is not None


def test_needs_that_end_in_one_batch_count_each(worker: Worker) -> None:
    flow = flow_of(worker, CHORD)
    flow.end("a", "b")
    assert flow.state("join") is Q


def test_a_failure_cancels_the_rest_and_the_workflow_fails(worker: Worker) -> None:
    flow = flow_of(worker, {**CHORD, "other": []})
    flow.end("a", outcome=BAD)
    flow.sweep()
    assert flow.states() == {"a": F, "b": C, "join": C, "after": C, "other": C}
    assert flow.row.state == "failed"


def test_with_continue_only_what_needs_the_failed_step_is_cancelled(worker: Worker) -> None:
    flow = flow_of(worker, {**CHORD, "other": [], "then": ["other"]}, on_failure="continue")
    flow.end("a", outcome=BAD)
    flow.sweep()
    assert flow.states() == {"a": F, "b": Q, "join": C, "after": C, "other": Q, "then": B}
    flow.end("b", "other")
    flow.end("then")
    assert flow.row.state == "failed"


def test_an_optional_step_that_fails_stops_nothing(worker: Worker) -> None:
    flow = flow_of(worker, CHORD, optional=["a"])
    flow.end("a", outcome=BAD)
    flow.end("b")
    flow.end("join")
    flow.end("after")
    assert (flow.row.state, flow.row.excused) == ("succeeded", 1)


def test_results_are_put_where_they_are_referenced_when_the_step_is_claimed(worker: Worker) -> None:
    takes = {"b": [(("to",), "a", ("value", "0")), (("all", 1), "a", ())]}
    flow = flow_of(worker, {"a": [], "b": ["a"]}, takes=takes, b={"params": {"to": None, "all": [1, None]}})
    flow.end("a", outcome=Succeeded({"value": ["x"]}))
    (params,) = flow.claim("b")
    assert params == {"to": "x", "all": [1, {"value": ["x"]}]}


@pytest.mark.parametrize(
    ("result", "path", "code"),
    [
        ({"v": "x" * 300_000}, ("v",), "results_too_large"),
        ({"v": 1}, ("other",), "result_missing"),
        ({"v": {"$secret": "x"}}, ("v",), "result_reserved"),
    ],
)
def test_what_cannot_be_put_in_ends_the_step_with_a_code_of_its_own(
    conn: Connection, worker: Worker, result: Any, path: tuple[str, ...], code: str
) -> None:
    flow = flow_of(worker, {"a": [], "b": ["a"]}, takes={"b": [(("to",), "a", path)]}, b={"params": {"to": None}})
    flow.end("a", outcome=Succeeded(result))
    (work,) = worker.claim([flow.ids["b"]])
    assert (work.unresolved, work.unresolved_at) == (code, "/to")


def test_of_an_optional_step_that_failed_null_is_taken(worker: Worker) -> None:
    takes = {"b": [(("to",), "a", ("value",))]}
    flow = flow_of(worker, {"a": [], "b": ["a"]}, optional=["a"], takes=takes, b={"params": {"to": 1}})
    flow.end("a", outcome=BAD)
    assert flow.claim("b") == [{"to": None}]


def test_the_life_of_a_step_begins_when_it_is_unblocked(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": ["a"]}, b={"life_seconds": 3600.0, "delay_seconds": 60.0})
    assert read(conn, flow.ids["b"]).expires_at is None
    flow.end("a")
    row = read(conn, flow.ids["b"])
    assert row.state == "scheduled"
    assert (row.expires_at - row.due_at).total_seconds() == 3600
    assert 50 < (row.due_at - read(conn, flow.ids["a"]).finished_at).total_seconds() < 70


def test_what_needs_a_step_waits_for_what_that_step_adds(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "join": ["a"]})
    flow.claim("a")
    child = new(workflow_id=flow.id, parent_id=flow.ids["a"])
    for _ in range(2):  # the answer to the first submit got lost
        claim = claim_of(conn, flow.ids["a"])
        submit.submit_children(conn, [child], parent_id=flow.ids["a"], claim=claim)
        workflows.join_workflow(conn, flow.ids["a"], [child])
    flow.finish("a")
    assert flow.state("join") is B
    flow.ids["child"] = child.id
    flow.end("child")
    assert flow.state("join") is Q
    flow.end("join")
    assert (flow.row.state, flow.row.steps) == ("succeeded", 3)


@pytest.mark.parametrize(("bound", "most", "code"), [("STEPS", 4, "too_many_steps"), ("NEEDS", 5, "too_many_needs")])
def test_a_workflow_grows_up_to_the_bounds_of_a_submitted_one(
    bound: str, most: int, code: str, engine: Engine, conn: Connection, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, f"MAX_{bound}", most)
    flow = flow_of(worker, {"a": [], "join": ["a"], "other": ["a"]})
    flow.claim("a")
    claim = claim_of(conn, flow.ids["a"])

    def add(n: int) -> None:
        children = [new(workflow_id=flow.id, parent_id=flow.ids["a"]) for _ in range(n)]
        with ledger.transaction(engine) as own:
            submit.submit_children(own, children, parent_id=flow.ids["a"], claim=claim)
            workflows.join_workflow(own, flow.ids["a"], children)

    add(1)
    for n in (1, 3):
        with pytest.raises(TaskError) as refused:
            add(n)
        assert (refused.value.code, refused.value.retryable) == (code, False)
    assert flow.row.steps == 4
    assert conn.scalar(sa.text("SELECT count(*) FROM task WHERE workflow_id = :id"), {"id": flow.id}) == 4


def test_an_end_that_is_recorded_twice_counts_once(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, CHORD)
    flow.claim("a")
    end = finish.Finished(flow.ids["a"], claim_of(conn, flow.ids["a"]), OK, 0.1)
    for _ in range(3):
        finish.finish(conn, [end, end])
    assert flow.state("join") is B
    assert flow.row.succeeded == 1


def test_a_retry_keeps_results_and_waits_for_needs_that_run_again(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, CHORD)
    flow.end("a")
    flow.end("b", outcome=BAD)
    flow.sweep()
    assert flow.states() == {"a": S, "b": F, "join": C, "after": C}
    done = workflows.retry_workflow(conn, flow.id, by=Actor("ci"))
    assert done.answer is not None
    assert done.answer.steps == 3
    assert flow.states() == {"a": S, "b": Q, "join": B, "after": B}
    assert (flow.row.state, flow.row.finished_at) == ("running", None)
    for name in ("b", "join", "after"):
        flow.end(name)
    assert (flow.row.state, flow.row.succeeded, flow.row.failed) == ("succeeded", 4, 0)


def test_a_cancelled_workflow_starts_no_step_even_before_the_sweep(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": ["a"]})
    flow.claim("a")
    workflows.cancel_workflow(conn, flow.id, by=Actor("ci"))
    flow.finish("a")
    assert flow.state("b") is B
    flow.sweep()
    assert flow.states() == {"a": S, "b": C}
    assert flow.row.state == "cancelled"


def test_a_running_step_of_a_cancelled_workflow_is_asked_to_end_once(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": []})
    flow.claim("a")
    workflows.cancel_workflow(conn, flow.id, by=Actor("ci"))
    flow.sweep()
    assert events(conn, flow.ids["a"]) == ["cancel_requested"]
    assert flow.row.swept == flow.row.marks
    flow.finish("a", outcome=GONE)
    assert flow.row.state == "cancelled"


def test_two_last_steps_that_end_at_the_same_moment_leave_no_join_behind(engine: Engine, worker: Worker) -> None:
    """Each in a transaction of its own, committed while the other waits."""
    for _ in range(20):
        flow = flow_of(worker, CHORD)
        flow.claim("a", "b")
        claims = {n: claim_of(worker.conn, flow.ids[n]) for n in ("a", "b")}

        def end(name: str, flow: Flow = flow, claims: dict[str, UUID] = claims) -> None:
            made = finish.Finished(flow.ids[name], claims[name], OK, 0.1)
            ledger.run(engine, lambda conn: finish.finish(conn, [made]))

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(end, ("a", "b")))
        assert flow.state("join") is Q
        assert sum(flow.ids["join"] in ids for ids in outbox(worker.conn).values()) == 1


def test_the_end_of_a_workflow_is_told_once_to_its_receiver(conn: Connection, worker: Worker) -> None:
    callback = Callback(url="https://receiver.test/", endpoint_id=new_id(), on=("final",), told=True)
    flow = flow_of(worker, {"a": [], "b": ["a"]}, callback=callback)
    flow.end("a")
    flow.end("b")
    found = sa.text("SELECT params #>> '{payload,type}' FROM task WHERE name = 'webhooks.deliver'")
    assert list(conn.scalars(found)) == ["workflow.succeeded"]


def test_an_ordinary_task_that_ends_reads_no_table_of_workflows() -> None:
    statement = str(finish._STATEMENTS[False, False, False])
    assert "workflow_step" not in statement
    assert " workflow " not in statement
