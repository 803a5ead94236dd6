"""Workflows: steps that a person runs again, alone or all together."""

from __future__ import annotations

import threading
from datetime import timedelta

from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import State
from taskyard.lifecycle import cancel, workflows
from taskyard.lifecycle.retry import retry
from taskyard.store import ledger
from taskyard.store.audit import Actor

from .flows import BAD, flow_of
from .rows import Worker

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
