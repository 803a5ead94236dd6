"""Queues and workers over time, as charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from taskyard_client import QueueHistory, WorkerHistory
from taskyard_client.over_time_models import QueuePoint

from . import charts
from .over_time import Chart, chart, times_of

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
    times = times_of((point.at for point in history.points), visit)
    return [
        _depths(_("Tasks to be done now"), _NOW, titles, history, times, visit),
        _depths(_("Tasks for later"), _LATER, titles, history, times, visit),
    ]


def _depths(
    title: str,
    states: Sequence[tuple[str, str]],
    titles: dict[str, str],
    history: QueueHistory,
    times: charts.Times,
    visit: Visit,
) -> Chart:
    series = [(titles[state], tone, [_depth(point, state) for point in history.points]) for state, tone in states]
    drawn = charts.stacked(times, series, step=history.step_seconds, with_all=True)
    return chart(title, drawn, [titles[state] for state, _ in states], visit)


def _depth(point: QueuePoint, state: str) -> float | None:
    return point.depth[state].average if state in point.depth else None


def of_worker(history: WorkerHistory, visit: Visit) -> list[Chart]:
    _, times = visit.words.gettext, times_of((point.at for point in history.points), visit)
    measured = (
        (_("Memory"), [point.memory_bytes for point in history.points], "bytes"),
        (_("Running tasks"), [point.running for point in history.points], "number"),
    )
    return [chart(title, charts.lines(times, [(title, of)], unit=unit), [title], visit) for title, of, unit in measured]
