"""One task: all that is known of it, and what can be done to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import falcon.asgi

from taskyard_client import AsyncClient, TimelineEvent
from taskyard_client.models import Task
from taskyard_client.pages import Page as Answered

from ..attempts import LEVELS, Line, attempts_of, compared, lines_of
from ..commands import commands_of
from ..page import Page
from ..parts import Part, part
from ..rendering import Rendering
from ..report import cancelling, report, said_of, shown_to
from ..undoing import CHANGE_TASKS
from ..visits import Visit
from .task_ids import task_id_of

# What the API gives in one page.
EVENTS = 1_000
_CHILDREN = 10
# Of the log of each of two attempts side by side.
_COMPARED_LINES = 20
_WAITING = frozenset({"scheduled", "queued", "retrying"})
_RETRIED = frozenset({"failed", "cancelled"})
# Of a log that is downloaded: 1,000 lines are kept of an attempt.
_MOST_PAGES = 200
# `before`, `lines_before`: the ids of events, before which the timeline and the log are read.
_ASKED = ("log", "level", "attempt", "a", "b", "before", "lines_before")


@dataclass(frozen=True)
class OneTask(Page):
    """`trace_url`: an address with `{trace_id}`, or empty."""

    rendering: Rendering
    trace_url: str = ""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, api, words = task_id_of(task_id), visit.api, visit.words
        asked = {name: (req.get_param(name) or "").strip() for name in _ASKED}
        of_log: dict[str, Any] = {"attempt": asked["attempt"] or None, "cursor": asked["lines_before"] or None}
        task, explanation, timeline, logged, children = await asyncio.gather(
            api.task(wanted),
            part(api.explain(wanted)),
            part(api.timeline(wanted, order="newest", limit=EVENTS, log=False, cursor=asked["before"] or None)),
            part(api.timeline(wanted, order="newest", limit=EVENTS, log=True, **of_log)),
            part(api.tasks_page(parent_id=wanted, limit=_CHILDREN)),
        )
        sent = task.as_sent()
        events = shown_to(visit.reader, in_order(timeline))
        attempts, actions = attempts_of(events), actions_of(task, visit)
        side_by_side = compared(attempts, asked["a"], asked["b"])
        ends = await asyncio.gather(*(_end_of_log(api, wanted, one.number) for one in side_by_side))
        self.rendering.show(
            resp,
            visit,
            "task.html",
            task=task,
            sent=sent,
            said=said_of({"error": sent.get("error")}),
            explanation=explanation,
            timeline=timeline,
            logged=logged,
            children=children,
            entries=report(events, words),
            # Earlier events tell neither of them.
            stages=[] if asked["before"] else cancelling(events, words, is_final=task.is_final),
            place=attempts[-1].place if attempts and not asked["before"] else "",
            attempts=attempts,
            compared=side_by_side,
            ends_of_logs=ends,
            lines=lines_of(in_order(logged), level=asked["level"], text=asked["log"]),
            asked=asked,
            levels=LEVELS,
            actions=actions,
            commands=commands_of(task, actions, words.gettext),
            trace=_trace(self.trace_url, task.trace_id),
            is_operation=task.name == CHANGE_TASKS,
        )


def in_order(page: Part[Answered[TimelineEvent]]) -> list[TimelineEvent]:
    """Of a page from the end, oldest first."""
    return [] if page.value is None else page.value.items[::-1]


async def _end_of_log(api: AsyncClient, wanted: UUID, attempt: int) -> list[Line]:
    page = await part(api.timeline(wanted, order="newest", limit=_COMPARED_LINES, log=True, attempt=attempt))
    return lines_of(in_order(page))


def actions_of(task: Task, visit: Visit) -> set[str]:
    """What this reader can do to this task now."""
    found = {"again"} if visit.may("submit") and task.name != CHANGE_TASKS else set()
    if visit.may("manage"):
        found |= set() if task.is_final else {"cancel"}
        found |= {"change"} if task.state in _WAITING else set()
        found |= {"retry"} if task.state in _RETRIED else set()
        if task.state == "failed":
            found.add("discard" if task.discarded_at is None else "restore")
    return found


def _trace(address: str, trace_id: str | None) -> str:
    return address.replace("{trace_id}", trace_id) if address and trace_id else ""


class TaskLog(Page):
    """The log as a file of text, with all of its lines."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, task_id: str) -> None:
        visit: Visit = req.context.visit
        wanted, api = task_id_of(task_id), visit.api
        first = await api.timeline(wanted, limit=EVENTS, log=True)
        resp.content_type = "text/plain; charset=utf-8"
        resp.set_header("Content-Disposition", f'attachment; filename="{wanted}.log"')
        resp.stream = _lines(api, wanted, first)


async def _lines(api: AsyncClient, wanted: UUID, page: Answered[TimelineEvent]) -> AsyncIterator[bytes]:
    for _ in range(_MOST_PAGES):
        yield "".join(map(_written, lines_of(page.items))).encode()
        if page.next_cursor is None:
            return
        page = await api.timeline(wanted, limit=EVENTS, log=True, cursor=page.next_cursor)


def _written(line: Line) -> str:
    at = line.at.isoformat(timespec="milliseconds") if line.at else "-"
    return f"{at} [{line.attempt}] {line.level}: {line.text}\n"
