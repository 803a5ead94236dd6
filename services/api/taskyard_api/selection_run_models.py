"""Selection runs: body, query and answers, beside models.py and answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from taskyard.admission.bodies import SubmitOptions, SubmitTask
from taskyard.store.selection_runs import MAX_MESSAGE, MAX_MESSAGES, Kind, Status

from .answers import Page, Shown, WithWarnings
from .models import PageQuery


class SelectionRunBody(SubmitOptions):
    """The kind of run with the options of a submit, and beside them the parameters of its task type."""

    model_config = ConfigDict(extra="allow")

    kind: Kind = Field(description="The parameters are those of the task type `selection.<kind>`.")

    @property
    def task(self) -> SubmitTask:
        options = {name: getattr(self, name) for name in SubmitOptions.model_fields if name in self.model_fields_set}
        return SubmitTask(name=self.kind.task_type, params=self.model_extra or {}, **options)


class SelectionRunsQuery(PageQuery):
    kind: Kind | None = None
    status: Status | None = None


class SelectionRun(Shown):
    id: UUID
    task_id: UUID = Field(description="The same id: cancel and retry are calls of the task.")
    kind: Kind
    status: Status = Field(description="PENDING also where its worker was lost, or it waits for its next attempt.")
    progress_percentage: float = Field(description="0 to 100; of a run that has failed, how far it had come.")
    log_messages: list[str] = Field(
        description=f"What it logged, and the stages of its progress: the newest {MAX_MESSAGES}, oldest first, each cut"
        f" at {MAX_MESSAGE} characters."
    )
    error_message: str | None = Field(description="In the reader's language; of a waiting run, why it is tried again.")
    error_code: str | None
    support_url: str | None = Field(description="Where people find help, where there is an error.")
    created_at: datetime
    completed_at: datetime | None
    result: Any


class ToldSelectionRun(Shown):
    """A run as it is shown to a key without the scope `read`."""

    id: UUID
    task_id: UUID
    kind: Kind
    status: Status
    created_at: datetime


class AcceptedSelectionRun(WithWarnings, SelectionRun):
    pass


class ToldAcceptedSelectionRun(WithWarnings, ToldSelectionRun):
    pass


class SelectionRunPage(Page[SelectionRun]):
    pass
