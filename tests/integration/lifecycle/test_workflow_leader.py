"""Workflows: what the leader does to steps while people retry them and others end."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import State
from taskyard.lifecycle import held_steps
from taskyard.lifecycle.retry import retry

from .flows import BAD, GONE, flow_of
from .rows import Worker
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
