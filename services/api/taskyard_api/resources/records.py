"""Records: what imports and synchronisations have brought in."""

from __future__ import annotations

import base64
from functools import partial

import falcon.asgi
import orjson

from taskyard.domain.messages import message
from taskyard.store import records

from .. import record_models, views
from ..auth import Scope
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import PAGE_BYTES, query_of
from ..record_models import RecordsQuery
from ..refusals import Fault, Invalid
from ..requests import Request


class Records:
    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    @Operation(
        summary="Records of a collection, in the order of their keys",
        description="`files.import_data` and `data.sync` write them. A key that is restricted to queues has collections"
        " of its own.",
        scope=Scope.READ,
        query=RecordsQuery,
        answers={
            200: Answer(description="A page; empty for a collection without records.", model=record_models.RecordPage)
        },
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query = query_of(RecordsQuery, req)
        found = await self._ledger.run(
            partial(
                records.listed,
                collection=query.collection,
                after=_key_at(query.cursor),
                limit=query.limit,
                max_bytes=PAGE_BYTES,
                owner=req.context.caller.owner_seen,
            )
        )
        items = [{**record._asdict(), "data": orjson.Fragment(record.data)} for record in found.records]
        last = found.records[-1].key if found.has_more else None
        views.send(resp, 200, {"items": items, "next_cursor": None if last is None else _cursor_at(last)})


def _cursor_at(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _key_at(cursor: str | None) -> str | None:
    """The last key of the page before. Raises Invalid."""
    if cursor is None:
        return None
    try:
        key = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        key = "\0"
    if "\0" in key:
        raise Invalid([Fault("?cursor", message("This is not a cursor of this list."))])
    return key
