"""Over random graphs: the order respects the needs, every step ends, results arrive where they are referenced."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskyard.domain.tasks import FINAL, Cancelled, Failed, Outcome, State, Succeeded
from taskyard.lifecycle import cancel, workflows
from taskyard.lifecycle.finish import Finished, finish
from taskyard.store.audit import Actor

from .flows import Flow, flow_of
from .rows import FAULT, Worker, claim_of

_OUTCOMES = st.sampled_from(["succeed", "succeed", "succeed", "fail", "cancel"])


@dataclass
class Graph:
    needs: dict[str, list[str]]
    ends: dict[str, str]
    optional: list[str]
    takes: dict[str, list[tuple[tuple[str | int, ...], str, Sequence[str]]]]
    on_failure: str
    seed: int
    twice: bool = False


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"s{n}" for n in range(draw(st.integers(1, 9)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:n]), unique=True, max_size=4)) if n else []
        for n, name in enumerate(names)
    }
    takes: dict[str, list[tuple[tuple[str | int, ...], str, Sequence[str]]]] = {
        name: [((str(n),), need, ("value",)) for n, need in enumerate(wanted)] for name, wanted in needs.items()
    }
    return Graph(
        needs=needs,
        ends={name: draw(_OUTCOMES) for name in names},
        optional=draw(st.lists(st.sampled_from(names), unique=True, max_size=3)),
        takes=takes,
        on_failure=draw(st.sampled_from(["cancel_rest", "continue"])),
        seed=draw(st.integers(0, 2**16)),
        twice=draw(st.booleans()),
    )


@dataclass
class Run:
    """Claims and ends what is queued, in an order and in batches of chance."""

    flow: Flow
    graph: Graph
    chance: random.Random
    ended: dict[str, State] = field(default_factory=dict)

    def queued(self) -> list[str]:
        return [name for name, state in self.flow.states().items() if state is State.QUEUED]

    def turn(self) -> bool:
        queued = self.queued()
        if self.chance.random() < 0.3 or not queued:
            before = self.flow.states()
            self.flow.sweep()
            if not queued and self.flow.states() == before:
                return False
            queued = self.queued()
        names = self.chance.sample(queued, self.chance.randint(0, len(queued)))
        if names:
            self.run(names)
        return True

    def run(self, names: Sequence[str]) -> None:
        for name, params in zip(names, self.flow.claim(*names), strict=True):
            self.check_begun(name, params)
        ends = [self.end(name) for name in names]
        for _ in range(1 + self.graph.twice):  # the answer to the first commit got lost
            finish(self.flow.conn, ends)

    def check_begun(self, name: str, params: Mapping[str, Any]) -> None:
        states = self.flow.states()
        for n, need in enumerate(self.graph.needs[name]):
            assert states[need] is State.SUCCEEDED or (need in self.graph.optional and states[need] in FINAL)
            assert params[str(n)] == ({"of": need} if states[need] is State.SUCCEEDED else None)

    def end(self, name: str) -> Finished:
        task_id, outcome = self.flow.ids[name], self.graph.ends[name]
        made: Outcome = Succeeded({"value": {"of": name}})
        if outcome == "fail":
            made = Failed(FAULT)
        elif outcome == "cancel":
            cancel.cancel(self.flow.conn, [task_id])
            made = Cancelled()
        return Finished(task_id, claim_of(self.flow.conn, task_id), made, 0.1)


def begun(flow: Flow) -> set[UUID]:
    found = sa.text("SELECT id FROM task WHERE workflow_id = :id AND attempt > 0")
    return set(flow.conn.scalars(found, {"id": flow.id}))


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs())
def test_the_order_respects_the_needs_every_step_ends_and_results_arrive(worker: Worker, graph: Graph) -> None:
    params = {name: {"params": {str(n): 0 for n in range(len(wanted))}} for name, wanted in graph.needs.items()}
    flow = flow_of(
        worker, graph.needs, on_failure=graph.on_failure, optional=graph.optional, takes=graph.takes, **params
    )
    run = Run(flow, graph, random.Random(graph.seed))
    for _ in range(200):
        if not run.turn():
            break
    states, row = flow.states(), flow.row
    assert set(states.values()) <= FINAL, "every step ends"
    required = [state for name, state in states.items() if name not in graph.optional]
    wanted = "failed" if State.FAILED in required else "cancelled" if State.CANCELLED in required else "succeeded"
    assert row.state == wanted
    assert row.succeeded == list(states.values()).count(State.SUCCEEDED)
    assert row.succeeded + row.failed + row.cancelled + row.excused == row.steps == len(graph.needs)
    left = flow.conn.scalars(
        sa.text(
            "SELECT s.pending_needs FROM workflow_step s JOIN task t ON t.id = s.task_id"
            " WHERE s.workflow_id = :id AND t.attempt > 0"
        ),
        {"id": flow.id},
    )
    assert set(left) <= {0}
    if graph.on_failure == "continue":
        # What did not begin needed something that did not succeed.
        for name in {name for name, task_id in flow.ids.items() if task_id not in begun(flow)}:
            assert any(states[n] is not State.SUCCEEDED and n not in graph.optional for n in graph.needs[name])
    if row.state != "succeeded":
        again(run)


def again(run: Run) -> None:
    """What did not succeed runs again, and succeeds; what succeeded does not run again."""
    flow, before = run.flow, run.flow.states()
    attempts = sa.text("SELECT id, attempt FROM task WHERE workflow_id = :id")
    ran = {row.id: row.attempt for row in flow.conn.execute(attempts, {"id": flow.id})}
    workflows.retry_workflow(flow.conn, flow.id, by=Actor("ci"))
    run.graph.ends = dict.fromkeys(run.graph.needs, "succeed")
    for _ in range(200):
        if not run.turn():
            break
    assert set(flow.states().values()) == {State.SUCCEEDED}
    assert flow.row.state == "succeeded"
    for row in flow.conn.execute(attempts, {"id": flow.id}):
        kept = before[next(name for name, task_id in flow.ids.items() if task_id == row.id)] is State.SUCCEEDED
        assert row.attempt == ran[row.id] + (not kept)
