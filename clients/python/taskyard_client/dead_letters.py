"""`client.dead_letters`: see, retry, discard and restore failed tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import management_calls as calls
from .change_models import Handled
from .management_models import DeadLetterGroups
from .models import Task
from .pages import Page, each, each_async

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class DeadLetters:
    """Filters are those of the API: name, queue, code, created_after, created_before. A change takes ids, or the oldest
    1,000 that fit a filter; without either, of all."""

    def __init__(self, api: Connection) -> None:
        self._api = api

    def items(self, **filters: Any) -> Iterator[Task]:
        """All that the key may see, newest first; with `discarded=True`, those that were discarded."""
        return each(self._api, partial(calls.dead_letters, filters))

    def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Task]:
        """One page of them; `limit` says how many."""
        return self._api.send(calls.dead_letters(filters, cursor))

    def groups(self, **filters: Any) -> DeadLetterGroups:
        """The newest 10,000, counted by task type and error code."""
        return self._api.send(calls.dead_letter_groups(filters))

    def retry(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        cancelled: bool = False,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Handled:
        """They run again, so many a second as the platform is set to. `cancelled`: the ids are of cancelled tasks, and
        of no steps of workflows."""
        call = calls.handle_dead_letters("retry", ids, filters, idempotency_key, dry_run=dry_run, cancelled=cancelled)
        return self._api.send(call)

    def discard(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Handled:
        """They stay failed tasks, and are no dead letters any more."""
        call = calls.handle_dead_letters("discard", ids, filters, idempotency_key, dry_run=dry_run)
        return self._api.send(call)

    def restore(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Handled:
        """They are dead letters again; filters have `discarded_after` and `discarded_before`, too."""
        call = calls.handle_dead_letters("restore", ids, filters, idempotency_key, dry_run=dry_run)
        return self._api.send(call)


class AsyncDeadLetters:
    """Filters are those of the API: name, queue, code, created_after, created_before. A change takes ids, or the oldest
    1,000 that fit a filter; without either, of all."""

    def __init__(self, api: AsyncConnection) -> None:
        self._api = api

    def items(self, **filters: Any) -> AsyncIterator[Task]:
        """As `DeadLetters.items`."""
        return each_async(self._api, partial(calls.dead_letters, filters))

    async def page(self, *, cursor: str | None = None, **filters: Any) -> Page[Task]:
        """As `DeadLetters.page`."""
        return await self._api.send(calls.dead_letters(filters, cursor))

    async def groups(self, **filters: Any) -> DeadLetterGroups:
        """As `DeadLetters.groups`."""
        return await self._api.send(calls.dead_letter_groups(filters))

    async def retry(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        cancelled: bool = False,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Handled:
        """As `DeadLetters.retry`."""
        call = calls.handle_dead_letters("retry", ids, filters, idempotency_key, dry_run=dry_run, cancelled=cancelled)
        return await self._api.send(call)

    async def discard(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Handled:
        """As `DeadLetters.discard`."""
        return await self._api.send(
            calls.handle_dead_letters("discard", ids, filters, idempotency_key, dry_run=dry_run)
        )

    async def restore(
        self,
        ids: Sequence[UUID | str] | None = None,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Handled:
        """As `DeadLetters.restore`."""
        return await self._api.send(
            calls.handle_dead_letters("restore", ids, filters, idempotency_key, dry_run=dry_run)
        )
