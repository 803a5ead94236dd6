"""`client.users`, `client.selection_runs`, `client.usage` and `client.records`: what belongs to task types of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import kit_calls as calls
from .kit_models import Analytics, Models, Record, SelectionRun, Submitted, User
from .pages import Page, each, each_async

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Users:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def get(self, user_id: int) -> User:
        return self._api.send(calls.user(user_id))

    def put(self, user_id: int, *, email: str, name: str, webhook_endpoint_id: UUID | str | None = None) -> User:
        """Writes the whole of it: what is left out is empty afterwards."""
        return self._api.send(calls.put_user(user_id, email, name, webhook_endpoint_id))

    def erase(self, user_id: int, *, dry_run: bool = False) -> Submitted:
        """The task that erases what is known of the user, or counts it."""
        return self._api.send(calls.erase_user(user_id, dry_run=dry_run))

    def send_welcome(self, user_id: int) -> Submitted:
        return self._api.send(calls.send_welcome(user_id))


class SelectionRuns:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self, **filters: Any) -> Iterator[SelectionRun]:
        """All that the key may see, newest first, by the filters of `GET /selection-runs`: kind, status."""
        return each(self._api, partial(calls.selection_runs, filters))

    def page(self, *, cursor: str | None = None, **filters: Any) -> Page[SelectionRun]:
        """One page of them; `limit` says how many."""
        return self._api.send(calls.selection_runs(filters, cursor))

    def get(self, run_id: UUID | str) -> SelectionRun:
        return self._api.send(calls.selection_run(run_id))

    def start(self, kind: str, *, idempotency_key: str | None = None, **fields: Any) -> SelectionRun:
        """`fields` are the options of a submit, and the parameters of the task type `selection.<kind>`."""
        return self._api.send(calls.start_selection_run(kind, fields, idempotency_key))


class Usage:
    """What language models were used for, and what came in over HTTP."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def report(self, events: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None) -> int:
        """Up to 1,000 events, each with model, tokens and at; how many were taken."""
        return self._api.send(calls.report_usage(events, idempotency_key)).accepted

    def analytics(self, *, start: datetime | None = None, end: datetime | None = None, by: str = "hour") -> Analytics:
        """Sums by `hour`, `day` or `total`; by default of the last day."""
        return self._api.send(calls.analytics(start, end, by))

    def models(self) -> Models:
        """The lists of models that are kept, with their age."""
        return self._api.send(calls.models())


class Records:
    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self, collection: str) -> Iterator[Record]:
        """What imports and synchronisations have brought in, in the order of the keys."""
        return each(self._api, partial(calls.records, collection, {}))

    def page(self, collection: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        return self._api.send(calls.records(collection, {"limit": limit}, cursor))


class AsyncUsers:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def get(self, user_id: int) -> User:
        return await self._api.send(calls.user(user_id))

    async def put(self, user_id: int, *, email: str, name: str, webhook_endpoint_id: UUID | str | None = None) -> User:
        """As `Users.put`."""
        return await self._api.send(calls.put_user(user_id, email, name, webhook_endpoint_id))

    async def erase(self, user_id: int, *, dry_run: bool = False) -> Submitted:
        """As `Users.erase`."""
        return await self._api.send(calls.erase_user(user_id, dry_run=dry_run))

    async def send_welcome(self, user_id: int) -> Submitted:
        return await self._api.send(calls.send_welcome(user_id))


class AsyncSelectionRuns:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self, **filters: Any) -> AsyncIterator[SelectionRun]:
        """As `SelectionRuns.items`."""
        return each_async(self._api, partial(calls.selection_runs, filters))

    async def page(self, *, cursor: str | None = None, **filters: Any) -> Page[SelectionRun]:
        """As `SelectionRuns.page`."""
        return await self._api.send(calls.selection_runs(filters, cursor))

    async def get(self, run_id: UUID | str) -> SelectionRun:
        return await self._api.send(calls.selection_run(run_id))

    async def start(self, kind: str, *, idempotency_key: str | None = None, **fields: Any) -> SelectionRun:
        """As `SelectionRuns.start`."""
        return await self._api.send(calls.start_selection_run(kind, fields, idempotency_key))


class AsyncUsage:
    """What language models were used for, and what came in over HTTP."""

    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    async def report(self, events: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None) -> int:
        """As `Usage.report`."""
        return (await self._api.send(calls.report_usage(events, idempotency_key))).accepted

    async def analytics(
        self, *, start: datetime | None = None, end: datetime | None = None, by: str = "hour"
    ) -> Analytics:
        """As `Usage.analytics`."""
        return await self._api.send(calls.analytics(start, end, by))

    async def models(self) -> Models:
        """As `Usage.models`."""
        return await self._api.send(calls.models())


class AsyncRecords:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self, collection: str) -> AsyncIterator[Record]:
        """As `Records.items`."""
        return each_async(self._api, partial(calls.records, collection, {}))

    async def page(self, collection: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        return await self._api.send(calls.records(collection, {"limit": limit}, cursor))
