"""Queues and workers over time, as charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from taskyard_client import QueueHistory, WorkerHistory
from taskyard_client.over_time_models import QueuePoint

from . import charts
from .formats import Formats
from .over_time import Chart, began

if TYPE_CHECKING:
    from .visits import Visit

# What is to be done now, and what is for later: thousands of tasks for tomorrow would hide the dozen that wait now.
_NOW = (("queued", "plain"), ("running", "good"), ("retrying", "wait"))
_LATER = (("scheduled", "quiet"), ("blocked", "odd"))


def of_queue(history: QueueHistory, visit: Visit) -> list[Chart]:
    _ = visit.words.gettext
    titles = {
        "queued": _("queued"),
        "running": _("running"),
        "retrying": _("retrying"),
        "scheduled": _("scheduled"),
        "blocked": _("blocked"),
    }
    return [
        _depths(_("Tasks to be done now"), _NOW, titles, history, visit),
        _depths(_("Tasks for later"), _LATER, titles, history, visit),
    ]


def _depths(
    title: str, states: Sequence[tuple[str, str]], titles: dict[str, str], history: QueueHistory, visit: Visit
) -> Chart:
    formats = Formats(visit.language)
    series = [
        (titles[state], tone, [(point.at, _depth(point, state)) for point in history.points]) for state, tone in states
    ]
    drawn = charts.stacked(series, step=history.step_seconds, zone=visit.zone, language=visit.language, with_all=True)
    rows = [
        [formats.moment(point.at, visit.zone), *(formats.number(_depth(point, state) or 0) for state, _ in states)]
        for point in history.points
        if any(_depth(point, state) for state, _ in states)
    ]
    return Chart(title, drawn, [began(visit), *(titles[state] for state, _ in states)], rows)


def _depth(point: QueuePoint, state: str) -> float | None:
    return point.depth[state].average if state in point.depth else None


def of_worker(history: WorkerHistory, visit: Visit) -> list[Chart]:
    _, formats = visit.words.gettext, Formats(visit.language)
    memory = [(point.at, point.memory_bytes) for point in history.points]
    running = [(point.at, point.running) for point in history.points]
    return [
        _line(_("Memory"), memory, "bytes", formats.bytes, visit),
        _line(_("Running tasks"), running, "number", formats.number, visit),
    ]


def _line(
    title: str, points: Sequence[tuple[datetime, float | None]], unit: str, told: Callable[[float], str], visit: Visit
) -> Chart:
    formats = Formats(visit.language)
    drawn = charts.lines([(title, points)], zone=visit.zone, language=visit.language, unit=unit)
    rows = [[formats.moment(at, visit.zone), told(figure)] for at, figure in points if figure is not None]
    return Chart(title, drawn, [began(visit), title], rows)
