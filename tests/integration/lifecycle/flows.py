"""Workflows to try verbs on, by the names of their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.ids import new_id
from taskyard.domain.references import TakenResult
from taskyard.domain.tasks import Cancelled, Failed, Outcome, State, Succeeded
from taskyard.domain.workflows import NewStep, NewWorkflow, OnFailure
from taskyard.lifecycle import sweeps, workflows
from taskyard.lifecycle.finish import Finished, finish

from .rows import FAULT, Worker, claim_of, new, state_of

OK, BAD, GONE = Succeeded({"value": 1}), Failed(FAULT), Cancelled()


@dataclass
class Flow:
    conn: Connection
    worker: Worker
    id: UUID
    ids: dict[str, UUID]

    def states(self) -> dict[str, State]:
        return {name: state_of(self.conn, task_id) for name, task_id in self.ids.items()}

    def state(self, name: str) -> State:
        return state_of(self.conn, self.ids[name])

    def end(self, *names: str, outcome: Outcome = OK) -> None:
        """The steps are claimed and end together."""
        self.claim(*names)
        self.finish(*names, outcome=outcome)

    def claim(self, *names: str) -> list[dict[str, Any]]:
        won = self.worker.claim([self.ids[name] for name in names])
        assert len(won) == len(names), f"{names} are not all claimable"
        by_id = {work.id: work.params for work in won}
        return [by_id[self.ids[name]] for name in names]

    def finish(self, *names: str, outcome: Outcome = OK) -> None:
        ends = [Finished(self.ids[n], claim_of(self.conn, self.ids[n]), outcome, 0.1) for n in names]
        finish(self.conn, ends)

    @property
    def row(self) -> sa.Row[Any]:
        return self.conn.execute(sa.text("SELECT * FROM workflow WHERE id = :id"), {"id": self.id}).one()

    def sweep(self) -> None:
        while self.id in sweeps.marked(self.conn):
            sweeps.sweep(self.conn, self.id)


def flow_of(
    worker: Worker,
    needs: Mapping[str, Sequence[str]],
    *,
    on_failure: str = "cancel_rest",
    optional: Sequence[str] = (),
    takes: Mapping[str, Sequence[tuple[tuple[str | int, ...], str, Sequence[str]]]] | None = None,
    callback: Any = None,
    **of_step: Any,
) -> Flow:
    """A workflow whose steps are named with what they need, in an order in which they can run. `takes`: of a step, the
    place in its parameters, the step whose result it takes, and the path in that; other names: options of a step."""
    flow, ids = new_id(), {name: new_id() for name in needs}
    leads: dict[str, list[UUID]] = {name: [] for name in needs}
    for name, wanted in needs.items():
        for need in wanted:
            leads[need].append(ids[name])
    steps = [
        NewStep(
            task=new(id=ids[name], workflow_id=flow, **of_step.get(name, {})),
            name=name,
            needs=[ids[need] for need in wanted],
            leads_to=leads[name],
            optional=name in optional,
            takes=[TakenResult(at, ids[need], path) for at, need, path in (takes or {}).get(name, ())],
        )
        for name, wanted in needs.items()
    ]
    made = NewWorkflow(id=flow, name="try", on_failure=OnFailure(on_failure), steps=steps, callback=callback)
    workflows.start(worker.conn, made)
    return Flow(worker.conn, worker, flow, ids)
