"""`client.workflows`: submit, see, cancel and retry workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import calls
from . import management_calls as management
from .management_models import TimelineEvent, WorkflowSummary
from .models import Workflow, WorkflowCancellation
from .pages import Page, each, each_async

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Workflows:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self, **filters: Any) -> Iterator[WorkflowSummary]:
        """All that the key may see, newest first, by the filters of `GET /workflows`: state (one or several), name."""
        return each(self._api, partial(management.workflows, filters))

    def page(self, *, cursor: str | None = None, **filters: Any) -> Page[WorkflowSummary]:
        """One page of them; `limit` says how many."""
        return self._api.send(management.workflows(filters, cursor))

    def get(
        self,
        workflow_id: UUID | str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        state: str | None = None,
        needs_limit: int | None = None,
    ) -> Workflow:
        """The workflow with a page of its steps; `state` (several by commas): only steps in these; `needs_limit`: how
        many needs of a step are named, by default a hundred."""
        return self._api.send(calls.workflow(workflow_id, cursor, limit, state=state, needs_limit=needs_limit))

    def submit(self, fields: Mapping[str, Any], *, idempotency_key: str | None = None) -> Workflow:
        """`fields`: the body of `POST /workflows`; `Client.start` takes what `chain`, `group` and `chord` make."""
        return self._api.send(calls.start(fields, idempotency_key))

    def cancel(self, workflow_id: UUID | str) -> WorkflowCancellation:
        """No further step begins, what waits is cancelled, what runs is asked to stop. Raises Conflict at its end."""
        return self._api.send(calls.cancel_workflow(workflow_id))

    def retry(self, workflow_id: UUID | str) -> Workflow:
        """Runs again what did not succeed. Raises Conflict unless the workflow failed or was cancelled."""
        return self._api.send(calls.retry_workflow(workflow_id))

    def timeline(self, workflow_id: UUID | str, *, limit: int = 200, cursor: str | None = None) -> Page[TimelineEvent]:
        """Which step ended when, and how: a page, oldest first."""
        return self._api.send(management.workflow_timeline(workflow_id, limit, cursor))


class AsyncWorkflows:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self, **filters: Any) -> AsyncIterator[WorkflowSummary]:
        """As `Workflows.items`."""
        return each_async(self._api, partial(management.workflows, filters))

    async def page(self, *, cursor: str | None = None, **filters: Any) -> Page[WorkflowSummary]:
        """As `Workflows.page`."""
        return await self._api.send(management.workflows(filters, cursor))

    async def get(
        self,
        workflow_id: UUID | str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        state: str | None = None,
        needs_limit: int | None = None,
    ) -> Workflow:
        """As `Workflows.get`."""
        return await self._api.send(calls.workflow(workflow_id, cursor, limit, state=state, needs_limit=needs_limit))

    async def submit(self, fields: Mapping[str, Any], *, idempotency_key: str | None = None) -> Workflow:
        """As `Workflows.submit`."""
        return await self._api.send(calls.start(fields, idempotency_key))

    async def cancel(self, workflow_id: UUID | str) -> WorkflowCancellation:
        """As `Workflows.cancel`."""
        return await self._api.send(calls.cancel_workflow(workflow_id))

    async def retry(self, workflow_id: UUID | str) -> Workflow:
        """As `Workflows.retry`."""
        return await self._api.send(calls.retry_workflow(workflow_id))

    async def timeline(
        self, workflow_id: UUID | str, *, limit: int = 200, cursor: str | None = None
    ) -> Page[TimelineEvent]:
        """As `Workflows.timeline`."""
        return await self._api.send(management.workflow_timeline(workflow_id, limit, cursor))
