"""The overview: whether all is well, and if not, where to look."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import falcon.asgi

from taskyard_client import Health, Queue
from taskyard_client.over_time_models import QueueHistory, Window

from .. import attention, over_time
from ..page import Page
from ..parts import Part, part
from ..rendering import Rendering
from ..visits import Visit

# Each is a call; the others have their charts on their pages.
MOST_HISTORIES = 8
_LONGEST, _GROUPS, _CODES = 5, 5, 8


@dataclass(frozen=True)
class Overview(Page):
    rendering: Rendering

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        visit: Visit = req.context.visit
        api, window, now = visit.api, over_time.window_of(req.get_param("window")), datetime.now(UTC)
        (health, (queues, sparks), broker, schedules), found = await asyncio.gather(
            asyncio.gather(
                part(api.health()),
                _queues(visit, window),
                part(api.broker()),
                part(api.schedules.page(enabled=True, troubled=True, limit=_GROUPS)),
            ),
            asyncio.gather(
                part(api.statistics(window)),
                _nothing() if window == "hour" else part(api.statistics("hour")),
                part(api.tasks_page(order="running_longest", limit=_LONGEST)),
                part(api.errors.page(state="returned", limit=_GROUPS)),
                part(api.errors.page(state="open", limit=_GROUPS, window=window)),
            ),
        )
        told, last_hour, running, returned, groups = found
        last_hour = last_hour or told
        unread = list(attention.of_unread(_titled(queues, broker, schedules, last_hour, returned, visit)))
        reasons = [
            *(attention.of_health(health.value, visit) if health.value else ()),
            *unread,
            *(attention.of_queues(queues.value, visit, now) if queues.value else ()),
            *(attention.of_broker(broker.value, visit) if broker.value else ()),
            *(attention.of_attempts(last_hour.value, visit) if last_hour.value else ()),
            *attention.of_schedules(_items(schedules), visit),
            *(attention.of_errors(returned.value.items, visit) if returned.value else ()),
        ]
        self.rendering.show(
            resp,
            visit,
            "overview.html",
            window=window,
            live_pause=over_time.LIVE_PAUSES[window],
            verdict=attention.verdict(health.value, reasons, visit, is_complete=not unread),
            tone=_tone(health, reasons, unread),
            reasons=reasons,
            health=health,
            components=_components(health),
            unaccounted=None if health.value is None else attention.unaccounted(health.value),
            queues=queues,
            sums=None if queues.value is None else _sums(queues.value),
            sparks=sparks,
            told=told,
            codes=told.value.errors[:_CODES] if told.value else [],
            charts=[] if told.value is None else over_time.of_attempts(told.value, visit),
            running=running,
            groups=groups,
            group_sparks={one.id: over_time.spark(one.counts or [], visit, "bad") for one in _items(groups)},
            broker=broker,
            memory=None if broker.value is None else attention.memory_share(broker.value),
            now=now,
        )


async def _nothing() -> None:
    """In the place of a call that is not needed."""


def _titled(
    queues: Part[Any], broker: Part[Any], schedules: Part[Any], told: Part[Any], returned: Part[Any], visit: Visit
) -> dict[str, Part[Any]]:
    """What reasons come from, besides health."""
    _ = visit.words.gettext
    return {
        _("Queues"): queues,
        _("Redis"): broker,
        _("Schedules"): schedules,
        _("Attempts"): told,
        _("Errors"): returned,
    }


def _tone(health: Part[Health], reasons: Sequence[object], unread: Sequence[object]) -> str:
    """The colour of the verdict."""
    status = "unknown" if health.value is None else health.value.status
    if status == "healthy" and unread:
        return "unknown"
    return "healthy looks" if status == "healthy" and reasons else status


def _items(groups: Part[Any]) -> Sequence[Any]:
    return () if groups.value is None else groups.value.items


def _components(health: Part[Any]) -> dict[str, dict[str, Any]]:
    return {} if health.value is None else {name: one.as_sent() for name, one in health.value.components.items()}


def _sums(queues: Sequence[Queue]) -> dict[str, float]:
    """Of all queues: depth by state, and what ends in a minute."""
    states = ("queued", "running", "retrying", "scheduled", "blocked")
    rates = [queue.as_sent().get("rate", {}) for queue in queues]
    return {
        **{state: sum(queue.depth.get(state, 0) for queue in queues) for state in states},
        **{name: sum(rate.get(name, 0.0) for rate in rates) for name in ("finished_per_minute", "failed_per_minute")},
    }


async def _queues(visit: Visit, window: Window) -> tuple[Part[list[Queue]], dict[str, Any]]:
    """All of them, and what was queued over time in those with the most to do."""
    queues = await part(visit.api.queues.items())
    busiest = sorted(queues.value or [], key=lambda queue: -sum(queue.depth.values()))[:MOST_HISTORIES]
    found = await asyncio.gather(*(part(visit.api.queues.history(queue.name, window)) for queue in busiest))
    drawn = {one.value.queue: over_time.spark(_queued(one.value), visit) for one in found if one.value is not None}
    return queues, drawn


def _queued(history: QueueHistory) -> list[float | None]:
    return [point.depth["queued"].most if "queued" in point.depth else None for point in history.points]
