"""Workflows: what the end of a step means for the others."""

from __future__ import annotations

from sqlalchemy import Connection

from taskyard.domain.tasks import State

from .flows import BAD, flow_of
from .rows import Worker, outbox

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
