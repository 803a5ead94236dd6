"""Lists as files: CSV for a spreadsheet, JSON Lines for a program, page by page as the API gives them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import falcon
import falcon.asgi

from taskyard_client.models import Task
from taskyard_client.pages import Page as ListPage

from ..filters import asked_of_dead_letters, asked_of_tasks, for_api
from ..page import Page
from ..visits import Visit

MOST_ROWS = 100_000
_AT_ONCE = 200
_CUT = f"There are more than {MOST_ROWS:,} rows: the rest is left out."
_FIELDS = (
    *("id", "name", "queue", "state", "attempt", "max_attempts", "created_at", "run_at", "started_at", "finished_at"),
    *("worker", "tags", "submitted_by", "parent_id", "workflow_id", "schedule_id", "error_code", "error_message"),
    *("params", "result"),
)
_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
# Spreadsheets take a cell that begins so for a formula, in Japanese ones also with full-width signs (OWASP, CSV
# injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")

ReadPage = Callable[[str | None], Awaitable[ListPage[Task]]]


class TasksFile(Page):
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        found = for_api(asked_of_tasks(req), visit)
        api = visit.api
        await _send(req, resp, "tasks", lambda cursor: api.tasks_page(cursor=cursor, limit=_AT_ONCE, **found))


class DeadLettersFile(Page):
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        found = for_api(asked_of_dead_letters(req), visit)
        letters = visit.api.dead_letters
        await _send(req, resp, "dead-letters", lambda cursor: letters.page(cursor=cursor, limit=_AT_ONCE, **found))


async def _send(req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, read: ReadPage) -> None:
    form = req.get_param("format") or "csv"
    if form not in _TYPES:
        raise falcon.HTTPNotFound
    # Read before anything is sent: what the API refuses is shown as a page.
    first = await read(None)
    resp.content_type = _TYPES[form]
    resp.set_header("Content-Disposition", f'attachment; filename="{name}.{form}"')
    resp.stream = _pieces(first, read, csv_of if form == "csv" else jsonl_of)


async def _pieces(
    page: ListPage[Task], read: ReadPage, written: Callable[[list[dict[str, Any]]], str]
) -> AsyncIterator[bytes]:
    """A call that fails breaks the download off, so that no browser takes a part for the whole. A file that is cut says
    so in its last row."""
    if written is csv_of:
        yield _row(_FIELDS).encode()
    left = MOST_ROWS
    while True:
        yield written([task.as_sent() for task in page.items[:left]]).encode()
        left -= len(page.items)
        if page.next_cursor is None and left >= 0:
            return
        if left <= 0:
            yield (_row([_CUT]) if written is csv_of else jsonl_of([{"cut": _CUT}])).encode()
            return
        page = await read(page.next_cursor)


def csv_of(tasks: list[dict[str, Any]]) -> str:
    return "".join(_row([_cell(_field(task, name)) for name in _FIELDS]) for task in tasks)


def jsonl_of(tasks: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(task, ensure_ascii=False, separators=(",", ":")) + "\n" for task in tasks)


def _row(cells: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _field(task: dict[str, Any], name: str) -> Any:
    if name.startswith("error_"):
        return (task.get("error") or {}).get(name.removeprefix("error_"))
    return task.get(name)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if value.startswith(_FORMULA) else value
