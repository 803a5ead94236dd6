"""Statistics as charts: of each its title, its picture, and the same figures as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from markupsafe import Markup

from taskyard_client import Statistics
from taskyard_client.over_time_models import Series, Times, Window

from . import charts
from .formats import Formats

if TYPE_CHECKING:
    from .visits import Visit

WINDOWS: tuple[Window, ...] = ("hour", "day", "month")
# How often a live page of that window reads itself again, in milliseconds: the API computes more the longer it is.
LIVE_PAUSES = {"hour": 5_000, "day": 15_000, "month": 60_000}
_OUTCOMES = ("succeeded", "retried", "failed", "crashed", "cancelled")
_TONES = {"succeeded": "good", "retried": "wait", "failed": "bad", "crashed": "odd", "cancelled": "quiet"}
_PERCENTILES = ("p50", "p90", "p99")
_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Chart:
    """`svg` is empty where there is nothing to draw; `nothing` says so, other than that nothing was measured."""

    title: str
    svg: Markup
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    nothing: str = ""


def window_of(given: str | None) -> Window:
    return next((window for window in WINDOWS if window == given), WINDOWS[0])


def of_attempts(told: Statistics, visit: Visit) -> list[Chart]:
    """Attempts by outcome, how long they ran, and how long they had waited."""
    _, times = visit.words.gettext, times_of((point.at for point in told.points), visit)
    return [
        _outcomes(told, times, visit),
        _percentiles(_("Run time"), [point.run for point in told.points], times, visit),
        _percentiles(_("Wait"), [point.wait for point in told.points], times, visit),
    ]


def times_of(times: Iterable[datetime], visit: Visit) -> charts.Times:
    return charts.Times([*times], zone=visit.zone, language=visit.language)


def chart(title: str, drawn: charts.Drawn, names: Sequence[str], visit: Visit, nothing: str = "") -> Chart:
    """`names`: those of the figures. What was measured at a time begins there."""
    return Chart(title, drawn.svg, (str(visit.words.pgettext("start", "From")), *names), drawn.rows, nothing)


def outcome_titles(visit: Visit) -> dict[str, str]:
    _ = visit.words.gettext
    return {
        "succeeded": _("succeeded"),
        "retried": _("failed, tried again"),
        "failed": _("failed"),
        "crashed": _("crashed"),
        "cancelled": _("cancelled"),
    }


def _outcomes(told: Statistics, times: charts.Times, visit: Visit) -> Chart:
    titles = outcome_titles(visit)
    series = [(titles[name], _TONES[name], [getattr(point, name) for point in told.points]) for name in _OUTCOMES]
    drawn = charts.stacked(times, series, step=told.step_seconds, until=told.until)
    return chart(visit.words.gettext("Attempts that ended"), drawn, [*titles.values()], visit, _none_ended(visit))


def _none_ended(visit: Visit) -> str:
    return visit.words.gettext("No attempt that ended was counted.")


def _percentiles(title: str, measured: Sequence[Times], times: charts.Times, visit: Visit) -> Chart:
    series = [(name, [getattr(one, name) for one in measured]) for name in _PERCENTILES]
    return chart(title, charts.lines(times, series, unit="seconds"), _PERCENTILES, visit, _none_ended(visit))


def failures(title: str, points: Sequence[tuple[datetime, int]], told: Series, visit: Visit) -> Chart:
    """Counts of failures as bars."""
    times = times_of((at for at, _ in points), visit)
    series = [(title, "bad", [count for _, count in points])]
    drawn = charts.stacked(times, series, step=told.step_seconds, until=told.until)
    return chart(title, drawn, [title], visit, visit.words.gettext("No failure was counted."))


def spark(figures: Sequence[float | None], visit: Visit, tone: str = "plain") -> Markup:
    """For a cell of a table, with the most and the last of them in words."""
    known = [figure for figure in figures if figure is not None]
    formats = Formats(visit.language)
    if not any(known):
        return Markup('<span class="none">{}</span>').format(formats.number(0) if known else _NOTHING)
    said = visit.words.gettext("%(most)s at most, %(last)s at the end")
    label = said % {"most": formats.number(max(known)), "last": formats.number(known[-1])}
    return charts.spark(tuple(figures), label=label, tone=tone)
