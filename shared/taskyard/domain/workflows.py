"""Workflows as they are written: graphs of new tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from .callbacks import Callback
from .new_tasks import NewTask
from .references import TakenResult

MAX_STEPS = 10_000
# Of all steps together. A join of 10,000 steps has as many.
MAX_NEEDS = 50_000


class OnFailure(StrEnum):
    """What a step's failure, or its cancellation, does to the others: all of them are cancelled, or those that need it.
    A step that is optional does nothing to them."""

    CANCEL_REST = "cancel_rest"
    CONTINUE = "continue"


class FlowState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, kw_only=True)
class NewStep:
    """`needs`: the tasks that have to end before; `leads_to`: those that need this one."""

    task: NewTask
    name: str
    needs: Sequence[UUID] = ()
    leads_to: Sequence[UUID] = ()
    optional: bool = False
    takes: Sequence[TakenResult] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class NewWorkflow:
    """The ids of its steps are ordered as the steps need each other."""

    id: UUID
    name: str | None
    on_failure: OnFailure
    steps: Sequence[NewStep]
    callback: Callback | None = None
    request_id: str | None = None
    traceparent: str | None = None
    submitted_by: str | None = None
    allowed_queues: Sequence[str] | None = None
