"""Task types: what each is and how it does; one of them with everything that is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import falcon.asgi

from taskyard_client import Statistics, TaskType
from taskyard_client.over_time_models import TypeCounts

from .. import over_time, parameters
from ..page import Page
from ..parts import Part, part
from ..rendering import Rendering
from ..visits import Visit

ORDERS = ("name", "attempts", "failures", "run", "wait")
_TASKS = 5


@dataclass(frozen=True)
class TaskTypes(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        window = over_time.window_of(req.get_param("window"))
        text, queue, order = (req.get_param(name) or "" for name in ("text", "queue", "order"))
        types, told = await asyncio.gather(visit.api.task_types.items(), part(visit.api.statistics(window)))
        counts = {one.name: one for one in told.value.types} if told.value else {}
        found = [one for one in types if text.lower() in f"{one.name} {one.description}".lower()]
        found = [one for one in found if not queue or queue in _queues(one)]
        self.rendering.show(
            resp,
            visit,
            "task_types.html",
            types=sorted(found, key=lambda one: _place(order, one, counts.get(one.name))),
            counts=counts,
            queues={one.name: _queues(one) for one in found},
            all_queues=[(name, name) for name in sorted({name for one in types for name in _queues(one)})],
            told=told,
            window=window,
            asked={"text": text, "queue": queue, "order": order if order in ORDERS else "", "window": window},
        )


def _queues(one: TaskType) -> list[str]:
    """Those in which live workers run it, its own first; its own where there are none."""
    live = {queue for version in one.versions for worker in version.workers for queue in worker.queues}
    return sorted(live, key=lambda queue: (queue != one.queue, queue)) or [one.queue]


def _place(order: str, one: TaskType, counts: TypeCounts | None) -> tuple[float, str]:
    """The most of what is asked for first."""
    if counts is None or order not in ORDERS[1:]:
        return (0.0, one.name)
    most: dict[str, float] = {
        "attempts": attempts(counts),
        "failures": counts.failed,
        "run": counts.run.p50 or 0.0,
        "wait": counts.wait.p50 or 0.0,
    }
    return (-most[order], one.name)


def attempts(counts: TypeCounts) -> int:
    return counts.succeeded + counts.failed + counts.retried + counts.crashed + counts.cancelled


@dataclass(frozen=True)
class OneType(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        visit: Visit = req.context.visit
        api, window = visit.api, over_time.window_of(req.get_param("window"))
        one, told, groups, failed, running = await asyncio.gather(
            api.task_type(name),
            part(api.statistics(window, name=name)),
            part(api.errors.page(name=name, limit=_TASKS, window=window)),
            part(api.tasks_page(name=name, state=["failed"], limit=_TASKS)),
            part(api.tasks_page(name=name, state=["running"], limit=_TASKS)),
        )
        self.rendering.show(
            resp,
            visit,
            "task_type.html",
            one=one,
            queues=_queues(one),
            is_live=any(version.workers for version in one.versions),
            parameters=parameters.described(one.params, visit.words),
            codes=_codes(one, told, visit.language),
            window=window,
            live_pause=over_time.LIVE_PAUSES[window],
            told=told,
            counts=told.value.types[0] if told.value and told.value.types else None,
            charts=[] if told.value is None else over_time.of_attempts(told.value, visit),
            groups=groups,
            group_sparks={group.id: over_time.spark(group.counts or [], visit, "bad") for group in _items(groups)},
            failed=failed,
            running=running,
            now=datetime.now(UTC),
        )


def _items(groups: Part[Any]) -> Sequence[Any]:
    return () if groups.value is None else groups.value.items


def _codes(one: TaskType, told: Part[Statistics], language: str) -> list[tuple[str, str, int]]:
    """The type's own error codes and those that it failed with, with their words and counts; the most first."""
    counted = {count.code: count.failures for count in told.value.errors} if told.value else {}
    said = {code: shown.words.get(language) or shown.words.get("en", "") for code, shown in one.errors.items()}
    codes = {**said, **counted}.keys()
    return sorted(
        ((code, said.get(code, ""), counted.get(code, 0)) for code in codes), key=lambda row: (-row[2], row[0])
    )
