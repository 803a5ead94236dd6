"""Steps of a workflow, as the rows of its table show them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from taskyard_client.models import WorkflowStep

_UNMET = frozenset({"blocked", "scheduled", "queued", "running", "retrying"})
# Of what a step needs, so many are named.
_NAMED = 5
# A row cuts it at a word before.
_MOST_OF_MESSAGE = 200


class Need(NamedTuple):
    """`task_id`: None where the step is not on the page. `state`: empty where it is not told."""

    name: str
    task_id: UUID | None
    state: str


class StepRow(NamedTuple):
    """A step as values that can be compared. `needs`: the first that it waits for, where it `waits`, otherwise the
    first that it needs; `more`: how many others there are."""

    name: str
    task_id: UUID
    task_name: str
    state: str
    optional: bool
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    waits: bool
    needs: tuple[Need, ...]
    more: int
    code: str | None
    message: str


def row_of(step: WorkflowStep, steps: Mapping[str, WorkflowStep]) -> StepRow:
    """`steps`: those of the page, by their names."""
    waits = waits_of(step, steps)
    named = waits or [(need, "") for need in step.needs[:_NAMED]]
    needs = [Need(name, steps[name].task_id if name in steps else None, state) for name, state in named[:_NAMED]]
    error = step.error if step.state != "succeeded" else None
    return StepRow(
        step.name,
        step.task_id,
        step.task_name,
        step.state,
        step.optional,
        step.attempt,
        step.started_at,
        step.finished_at,
        bool(waits),
        tuple(needs),
        max(0, (step.pending_needs if waits else step.needs_count) - _NAMED),
        error.code if error else None,
        error.message[:_MOST_OF_MESSAGE] if error else "",
    )


def waits_of(step: WorkflowStep, steps: Mapping[str, WorkflowStep]) -> list[tuple[str, str]]:
    """What a blocked step waits for, with the state of each. A step of another page ("") is named where all such are
    waited for: which of them have ended is not known here."""
    if step.state != "blocked":
        return []
    waits = [(need, steps[need].state) for need in step.needs if need in steps and steps[need].state in _UNMET]
    elsewhere = [(need, "") for need in step.needs if need not in steps]
    return waits + elsewhere if len(waits) + len(elsewhere) == step.pending_needs else waits
