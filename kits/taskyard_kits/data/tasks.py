"""data.sync: from a paged HTTP API into the records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from taskyard import TaskContext, task
from taskyard.domain.errors import Unfinished
from taskyard.failpoints import failpoint
from taskyard.store.record_syncs import Cursor

from . import pages
from .declarations import SyncParams, SyncResult
from .requests import page_of
from .rules import RULES
from .walk import Walk
from .words import ERRORS, PHRASES


@task("data.sync", rules=RULES, errors=ERRORS, phrases=PHRASES)
async def sync(params: SyncParams, *, context: TaskContext) -> SyncResult:
    """Pulls records from a paged HTTP API, from where the last sync of the same address ended."""
    token = None if params.token is None else params.token.reveal()
    walk = Walk(params, context)
    walk.go_on(await _in_transaction(context, walk.begin))
    longest = 0.0
    while not walk.at.is_done:
        began = time.monotonic()
        url = pages.address_of(params, walk.at.value)
        answer = await page_of(url, token, context)
        # Others of this loop go on meanwhile.
        page = await asyncio.to_thread(pages.read, params, url, answer.body, answer.headers)
        walk.refuse_repeated(page)
        failpoint("chunk.before")
        moved = await _in_transaction(context, partial(walk.write, page=page))
        failpoint("chunk.after")
        walk.go_on(moved)
        longest = max(longest, time.monotonic() - began)
        if not walk.at.is_done and context.seconds_left < 2 * longest:
            raise Unfinished  # the next page could be cut off: another attempt reads it, at no cost
    return walk.result


async def _in_transaction(context: TaskContext, step: Callable[[Connection], Cursor]) -> Cursor:
    async with context.db() as conn:
        return await conn.run_sync(step)
