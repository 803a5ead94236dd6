"""Workflows: what the leader does to steps while people retry them and others end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import RetryIn, State
from taskyard.lifecycle import cancel, held_steps, submit, sweeps, workflows
from taskyard.lifecycle.retry import retry
from taskyard.store.audit import Actor

from .flows import BAD, GONE, Flow, flow_of
from .rows import FAULT, Worker, claim_of, new, put, state_of
from .statements import statements_of
from .test_races import behind

Q, R, B, S, F, C = (
    State.QUEUED,
    State.RUNNING,
    State.BLOCKED,
    State.SUCCEEDED,
    State.FAILED,
    State.CANCELLED,
)
LIFE = timedelta(hours=1)
Verb = Callable[[Connection], object]


def test_the_leader_unblocks_no_step_one_of_whose_needs_runs_again_meanwhile(
    engine: Engine, conn: Connection, worker: Worker
) -> None:
    flow = flow_of(worker, {"f": [], "o": [], "s": [], "j": ["o", "s"]}, optional=["o"])
    flow.end("f", "o", outcome=BAD)
    flow.end("s")
    retry(conn, [flow.ids["f"]], life=LIFE)
    assert flow.state("j") is B

    behind(engine, lambda own: retry(own, [flow.ids["o"]], life=LIFE), lambda own: held_steps.recheck(own, None))
    assert flow.states() == {"f": Q, "o": Q, "s": S, "j": B}
    flow.end("o", outcome=BAD)
    assert flow.state("j") is Q


def test_a_step_that_runs_again_while_the_others_stop_is_not_cancelled_for_their_ends(
    conn: Connection, worker: Worker
) -> None:
    flow = flow_of(worker, {"f": [], "g": [], "j": ["f"]})
    flow.claim("g")
    flow.end("f", outcome=BAD)
    flow.sweep()
    retry(conn, [flow.ids["f"]], life=LIFE)
    flow.finish("g", outcome=GONE)
    flow.sweep()
    assert flow.states() == {"f": Q, "g": C, "j": C}
    flow.end("f")
    assert flow.row.state == "cancelled"


def test_every_failure_is_swept_where_the_others_go_on(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": [], "of a": ["a"], "of b": ["b"]}, on_failure="continue")
    for name in "ab":
        flow.end(name, outcome=BAD)
        flow.sweep()
        assert flow.state(f"of {name}") is C


def test_a_mark_ends_with_its_workflow(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"a": [], "b": [], "last": []})
    flow.claim("last")
    flow.end("a", "b", outcome=BAD)
    flow.finish("last")
    assert flow.row.swept == flow.row.marks == 1
    retry(conn, [flow.ids["a"]], life=LIFE)
    flow.sweep()
    assert flow.state("a") is Q


def test_a_mark_that_outlived_its_workflow_ends_where_a_step_runs_again(conn: Connection, worker: Worker) -> None:
    """Versions before wrote such ones."""
    flow = flow_of(worker, {"a": [], "b": []})
    flow.end("a", "b", outcome=BAD)
    conn.execute(sa.text("UPDATE workflow SET marks = 1, swept = 0 WHERE id = :id"), {"id": flow.id})
    retry(conn, [flow.ids["a"]], life=LIFE)
    flow.sweep()
    assert flow.state("a") is Q


def test_a_retry_that_the_sweep_waits_for_is_not_undone(engine: Engine, conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {"f": [], "j": ["f"]})
    flow.end("f", outcome=BAD)
    behind(
        engine,
        lambda own: retry(own, [flow.ids["f"]], life=LIFE),
        partial(sweeps.sweep, workflow_id=flow.id),
    )
    flow.sweep()
    assert flow.states() == {"f": Q, "j": B}
    flow.end("f")
    flow.end("j")
    assert flow.row.state == "succeeded"


def test_a_step_that_is_added_while_the_sweep_waits_is_cancelled_too(
    engine: Engine, conn: Connection, worker: Worker
) -> None:
    flow = flow_of(worker, {"f": [], "r": []}, r={"on_cancel": "leave_children"})
    flow.claim("r")
    flow.end("f", outcome=BAD)
    r = flow.ids["r"]
    added, claim = new(workflow_id=flow.id, parent_id=r), claim_of(conn, r)

    def add(own: Connection) -> None:
        submit.submit_children(own, [added], parent_id=r, claim=claim)
        workflows.join_workflow(own, r, [added])

    behind(engine, add, partial(sweeps.sweep, workflow_id=flow.id))
    flow.sweep()
    flow.finish("r", outcome=GONE)
    assert state_of(conn, added.id) is C
    assert flow.row.state == "failed"


def sweeping(flow: Flow) -> Verb:
    flow.end("f", outcome=BAD)
    return partial(sweeps.sweep, workflow_id=flow.id)


def cancelling(flow: Flow) -> Verb:
    return lambda own: cancel.cancel_task(own, flow.ids["r"], by=Actor("ci"))


@pytest.mark.parametrize("verb_of", [sweeping, cancelling])
def test_no_task_is_waited_for_behind_a_workflow(
    verb_of: Callable[[Flow], Verb], engine: Engine, conn: Connection, worker: Worker
) -> None:
    """An end of a batch holds its tasks and goes on to their workflows: here what a step has submitted."""
    flow = flow_of(worker, {"r": [], "f": []})
    flow.end("r", outcome=RetryIn(FAULT, LIFE))
    child = put(conn, Q, parent_id=flow.ids["r"])
    verb = verb_of(flow)

    def end_of_a_batch(own: Connection) -> None:
        own.execute(sa.text("SELECT FROM task WHERE id = :id FOR UPDATE"), {"id": child})

    def goes_on(own: Connection) -> None:
        own.execute(sa.text("SELECT FROM workflow WHERE id = :id FOR UPDATE NOWAIT"), {"id": flow.id})

    behind(engine, end_of_a_batch, verb, meanwhile=goes_on)
    assert state_of(conn, child) is C


def test_one_statement_cancels_what_all_the_steps_have_submitted(conn: Connection, worker: Worker) -> None:
    flow = flow_of(worker, {f"s{n}": [] for n in range(20)})
    flow.claim(*flow.ids)
    children = {put(conn, Q, parent_id=task_id): task_id for task_id in flow.ids.values()}
    workflows.cancel_workflow(conn, flow.id, by=Actor("ci"))
    with statements_of(conn) as seen:
        sweeps.sweep(conn, flow.id)
    assert len(seen) < 20
    follows = sa.text("SELECT task_id, data ->> 'follows' AS root FROM task_event WHERE kind = 'cancelled'")
    assert {row.task_id: UUID(row.root) for row in conn.execute(follows)} == children
