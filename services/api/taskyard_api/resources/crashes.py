"""Crashes: attempts that ended with their process, or with their worker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

import falcon.asgi

from taskyard.store import crashes

from .. import crash_models, views
from ..auth import Scope
from ..crash_models import CrashesQuery
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..parameters import cursor_at, query_of, read_cursor
from ..requests import Request
from ..translation import LANGUAGE, Translations, Words

_LARGEST_ID = 2**63 - 1


class Crashes:
    def __init__(self, ledger: LedgerPool, translations: Translations) -> None:
        self._ledger = ledger
        self._translations = translations

    @Operation(
        summary="Attempts that ended with their process or their worker, newest first",
        description="They are kept as long as their tasks.",
        scope=Scope.READ,
        query=CrashesQuery,
        answers={200: Answer(description="A page of crashes.", model=crash_models.CrashPage, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        query, words = query_of(CrashesQuery, req), self._translations.for_reader(req)
        wanted = crashes.Wanted(**query.filters(), queues=req.context.caller.queues)
        at = read_cursor(query.cursor)
        before = None if at is None else min(at.int, _LARGEST_ID)
        rows = await self._ledger.run(partial(crashes.page, wanted=wanted, before=before, limit=query.limit + 1))
        items = [_shown(row, words) for row in rows[: query.limit]]
        more = cursor_at(UUID(int=rows[query.limit - 1]["id"])) if len(rows) > query.limit else None
        views.send(resp, 200, {"items": items, "next_cursor": more}, words)


def _shown(row: Mapping[Any, Any], words: Words) -> dict[str, Any]:
    error = row["error"] or {}
    worker, _, child = (row["worker"] or "").rpartition(":")
    shown = {
        "cause": _cause((error.get("values") or {}).get("cause")),
        "message": words.failure(error, views.type_of(row)).get("message", ""),
        "worker": worker or None,
        "child": child or None,
    }
    return {name: shown[name] if name in shown else row[name] for name in crash_models.Crash.model_fields}


def _cause(stored: object) -> dict[str, Any]:
    """A phrase of the platform with its values, or words that an earlier release kept."""
    phrase = stored if isinstance(stored, dict) else {}
    return {"code": phrase.get("phrase"), "signal": phrase.get("signal"), "exit_code": phrase.get("code")}
