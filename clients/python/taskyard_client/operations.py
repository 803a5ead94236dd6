"""`client.operations`: changes of any number of tasks, made by a task."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import management_calls as calls
from .change_models import Handled
from .models import Task

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Operations:
    """`action` is cancel, retry, discard or restore; filters are the conditions of `POST /operations`: name, queue,
    created_after, created_before; state, tag, workflow_id, operation_id of what is cancelled; code of dead letters;
    discarded_after, discarded_before of what is restored."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def preview(self, action: str, *, as_of: datetime | None = None, **filters: Any) -> Handled:
        """How many fit, and the oldest of them. `as_of`: the `at` of an earlier preview, since when nothing counts."""
        return self._api.send(calls.preview_operation(action, filters, as_of))

    def start(
        self,
        action: str,
        *,
        per_second: float | None = None,
        as_of: datetime | None = None,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Task:
        """The task that changes all that fit: its progress tells how far it is, and cancelling it stops the change.
        `as_of`: the `at` of a preview; what has been submitted, failed or discarded since stays as it is."""
        return self._api.send(calls.start_operation(action, filters, per_second, as_of, idempotency_key))


class AsyncOperations:
    """`action` is cancel, retry, discard or restore; filters are the conditions of `POST /operations`: name, queue,
    created_after, created_before; state, tag, workflow_id, operation_id of what is cancelled; code of dead letters;
    discarded_after, discarded_before of what is restored."""

    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def preview(self, action: str, *, as_of: datetime | None = None, **filters: Any) -> Handled:
        """As `Operations.preview`."""
        return await self._api.send(calls.preview_operation(action, filters, as_of))

    async def start(
        self,
        action: str,
        *,
        per_second: float | None = None,
        as_of: datetime | None = None,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Task:
        """As `Operations.start`."""
        return await self._api.send(calls.start_operation(action, filters, per_second, as_of, idempotency_key))
