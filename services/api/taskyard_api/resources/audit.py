"""The audit log: changes made by API keys and by commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon.asgi

from taskyard.domain.messages import message
from taskyard.store import audit

from .. import answers, views
from ..auth import Scope
from ..ledger_pool import LedgerPool
from ..models import AuditQuery
from ..operations import Answer, Operation
from ..parameters import next_cursor, query_of, read_cursor
from ..refusals import QueueNotAllowed
from ..requests import Request


class AuditLog:
    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    @Operation(
        summary="The audit log, newest first",
        scope=Scope.ADMIN,
        description="Every change that a key or a command made: who, what, when, from where. Not for keys that are"
        " restricted to queues.",
        query=AuditQuery,
        answers={200: Answer(description="A page of changes.", model=answers.AuditPage)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        if req.context.caller.queues is not None:
            raise QueueNotAllowed(message("The audit log tells of all queues; this key may see only some."))
        query = query_of(AuditQuery, req)
        wanted = audit.AuditFilter(**query.filters())
        before_id = read_cursor(query.cursor)
        rows = await self._ledger.run(lambda conn: audit.page(conn, wanted, before_id=before_id, limit=query.limit + 1))
        items = [_shown(row) for row in rows[: query.limit]]
        views.send(resp, 200, {"items": items, "next_cursor": next_cursor(rows, query.limit)})


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    target = {"type": row["target_type"], "id": row["target_id"]}
    return {name: target if name == "target" else row[name] for name in answers.AuditRow.model_fields}
