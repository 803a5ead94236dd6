"""What calls about workflows take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from taskyard.admission.bodies import Whole
from taskyard.domain.tasks import State
from taskyard.domain.workflows import FlowState
from taskyard.store.workflows import MOST_NEEDS, SHOWN_NEEDS

from .answers import Page, Shown, TaskFailure, WithWarnings
from .models import PageQuery, Query, States, split

FlowStates = Annotated[list[FlowState], BeforeValidator(split), Field(min_length=1, max_length=4)]


class WorkflowsQuery(PageQuery):
    state: FlowStates | None = Field(default=None, description="One or several, separated by commas.")
    name: str | None = Field(default=None, min_length=1, max_length=200)


class WorkflowQuery(PageQuery):
    """Of its steps."""

    state: States | None = Field(default=None, description="Only steps in these states, separated by commas.")
    needs_limit: Whole = Field(
        default=SHOWN_NEEDS, ge=0, le=MOST_NEEDS, description="How many needs of a step are named."
    )


class FlowEventsQuery(Query):
    limit: Whole = Field(default=200, ge=1, le=1000)
    cursor: str | None = Field(
        default=None, pattern="^[0-9]{1,18}$", description="`next_cursor` of the page before, or the id of any event."
    )


class FlowProgress(Shown):
    """Steps that have ended, of all."""

    percent: float
    current: int
    total: int
    succeeded: int
    failed: int
    cancelled: int
    excused: int = Field(description="Optional steps that ended without success.")


class FlowStep(Shown):
    name: str
    task_id: UUID
    task_name: str
    queue: str
    state: State
    attempt: int
    optional: bool
    needs: list[str] = Field(
        description=f"The first {SHOWN_NEEDS}, or `needs_limit`: `needs_count` is how many there are."
    )
    needs_count: int
    pending_needs: int = Field(description="Needs that are not met yet; of a step that has begun: 0.")
    started_at: datetime | None
    finished_at: datetime | None
    error: TaskFailure | None


class FlowSummary(Shown):
    id: UUID
    name: str | None
    state: FlowState
    on_failure: Literal["cancel_rest", "continue"]
    progress: FlowProgress
    created_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    submitted_by: str | None
    request_id: str | None
    trace_id: str | None
    callback_url: str | None


class Workflow(FlowSummary):
    steps: list[FlowStep] = Field(description="A page of them: each stands behind those that it needs.")
    next_cursor: str | None


class AcceptedWorkflow(WithWarnings, Workflow):
    pass


class ToldWorkflow(WithWarnings):
    """A workflow as it is shown to a key without the scope `read`: nothing of what is stored in it."""

    id: UUID
    state: FlowState
    created_at: datetime


class WorkflowPage(Page[FlowSummary]):
    pass


class WorkflowCancelled(Shown):
    workflow_id: UUID
    status: Literal["CANCELLING"]
    message: str


class FlowEvent(Shown):
    id: str
    kind: str = Field(description="submitted, step, added, cancel_requested, retried, succeeded, failed, cancelled")
    at: datetime
    data: dict[str, Any]


class FlowTimeline(Page[FlowEvent]):
    pass
