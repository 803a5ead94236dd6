"""Workflows: steps that a person runs again, alone or all together."""

from __future__ import annotations

import threading
import time
import threading
from datetime import timedelta

import sqlalchemy as sa
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


def waits_for_a_lock(conn: Connection) -> None:
    """Until another connection of this database waits for one."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    until = time.monotonic() + 30
    while not conn.scalar(waiting):
        assert time.monotonic() < until, "nothing waits for a lock"
        time.sleep(0.02)


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

    def cancelled() -> None:
        ledger.run(engine, lambda own: cancel.cancel(own, [flow.ids["a"]]))

    canceller = threading.Thread(target=cancelled)
    with ledger.transaction(engine) as own:
        workflows.retry_workflow(own, flow.id, by=Actor("ci"))
        canceller.start()
        waits_for_a_lock(conn)
    canceller.join(30)
    assert flow.states() == {"a": C, "z": Q, "j": Q}
