"""Workflows: what the leader does to steps while people retry them and others end."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import State
from taskyard.lifecycle import held_steps
from taskyard.lifecycle.retry import retry

from .flows import BAD, flow_of
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
