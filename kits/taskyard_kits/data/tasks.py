"""data.sync: from a paged HTTP API into the records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from taskyard import TaskContext, TaskError, task
from taskyard.domain.errors import Unfinished
from taskyard.failpoints import failpoint

from . import pages
from .declarations import SyncParams, SyncResult
from .requests import page_of
from .rules import RULES
from .walk import Walk
from .words import ERRORS, PHRASES

T = TypeVar("T")


@task("data.sync", rules=RULES, errors=ERRORS, phrases=PHRASES)
async def sync(params: SyncParams, *, context: TaskContext) -> SyncResult:
    """Pulls records from a paged HTTP API, from where the last sync of the same address ended."""
    token = None if params.token is None else params.token.reveal()
    walk = Walk(params, context)
    walk.go_on(await _in_transaction(context, walk.begin))
    try:
        await _read(params, token, walk, context)
    except TaskError:
        await _in_transaction(context, walk.release)
        raise
    return walk.result


async def _read(params: SyncParams, token: str | None, walk: Walk, context: TaskContext) -> None:
    longest = 0.0
    while not walk.at.is_done:
        began = time.monotonic()
        cursor = walk.at.cursor
        url = pages.address_of(params, cursor)
        answer = await page_of(url, token, context, is_first=cursor is None)
        # Others of this loop go on meanwhile.
        page = await asyncio.to_thread(pages.read, params, url, answer.body, answer.headers)
        walk.refuse_endless(page)
        walk.refuse_invalid(page)
        failpoint("chunk.before")
        moved = await _in_transaction(context, partial(walk.write, page=page))
        failpoint("chunk.after")
        walk.go_on(moved)
        longest = max(longest, time.monotonic() - began)
        if not walk.at.is_done and context.seconds_left < 2 * longest:
            raise Unfinished  # the next page could be cut off: another attempt reads it, at no cost


async def _in_transaction(context: TaskContext, step: Callable[[Connection], T]) -> T:
    async with context.db() as conn:
        return await conn.run_sync(step)
