"""Statistics as charts: of each its title, its picture, and the same figures as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from taskyard_client import Statistics
from taskyard_client.over_time_models import Series, StatisticsPoint, Times, Window

from . import charts
from .formats import Formats

if TYPE_CHECKING:
    from .charts import Points
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
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    nothing: str = ""


def window_of(given: str | None) -> Window:
    return next((window for window in WINDOWS if window == given), WINDOWS[0])


def of_attempts(told: Statistics, visit: Visit) -> list[Chart]:
    """Attempts by outcome, how long they ran, and how long they had waited."""
    _ = visit.words.gettext
    return [
        _outcomes(told, visit),
        _times(_("Run time"), told, visit, lambda point: point.run),
        _times(_("Wait"), told, visit, lambda point: point.wait),
    ]


def outcome_titles(visit: Visit) -> dict[str, str]:
    _ = visit.words.gettext
    return {
        "succeeded": _("succeeded"),
        "retried": _("failed, tried again"),
        "failed": _("failed"),
        "crashed": _("crashed"),
        "cancelled": _("cancelled"),
    }


def began(visit: Visit) -> str:
    """The heading of the times at which what was measured begins."""
    return str(visit.words.pgettext("start", "From"))


def _outcomes(told: Statistics, visit: Visit) -> Chart:
    titles, formats = outcome_titles(visit), Formats(visit.language)
    series: list[tuple[str, str, Points]] = [
        (titles[name], _TONES[name], [(point.at, float(getattr(point, name))) for point in told.points])
        for name in _OUTCOMES
    ]
    drawn = charts.stacked(series, step=told.step_seconds, zone=visit.zone, language=visit.language, until=told.until)
    counts = ((point.at, [getattr(point, name) for name in _OUTCOMES]) for point in told.points)
    rows = [[formats.moment(at, visit.zone), *map(formats.number, row)] for at, row in counts if any(row)]
    title = visit.words.gettext("Attempts that ended")
    return Chart(title, drawn, [began(visit), *titles.values()], rows, _none_ended(visit))


def _none_ended(visit: Visit) -> str:
    return visit.words.gettext("No attempt that ended was counted.")


def _times(title: str, told: Statistics, visit: Visit, of: Callable[[StatisticsPoint], Times]) -> Chart:
    formats = Formats(visit.language)
    figures = [(point.at, [getattr(of(point), name) for name in _PERCENTILES]) for point in told.points]
    series = [(name, [(at, row[n]) for at, row in figures]) for n, name in enumerate(_PERCENTILES)]
    drawn = charts.lines(series, zone=visit.zone, language=visit.language, unit="seconds")
    rows = [
        [formats.moment(at, visit.zone), *_durations(row, formats)]
        for at, row in figures
        if any(figure is not None for figure in row)
    ]
    return Chart(title, drawn, [began(visit), *_PERCENTILES], rows, _none_ended(visit))


def _durations(row: Iterable[float | None], formats: Formats) -> list[str]:
    return ["" if figure is None else formats.duration(figure) for figure in row]


def failures(title: str, points: Points, told: Series, visit: Visit) -> Chart:
    """Counts of failures as bars."""
    _, formats = visit.words.gettext, Formats(visit.language)
    drawn = charts.stacked(
        [(title, "bad", points)], step=told.step_seconds, zone=visit.zone, language=visit.language, until=told.until
    )
    rows = [[formats.moment(at, visit.zone), formats.number(figure)] for at, figure in points if figure]
    return Chart(title, drawn, [began(visit), title], rows, _("No failure was counted."))


def spark(figures: Sequence[float | None], visit: Visit, tone: str = "plain") -> Markup:
    """For a cell of a table, with the most and the last of them in words."""
    known = [figure for figure in figures if figure is not None]
    formats = Formats(visit.language)
    if not any(known):
        return Markup('<span class="none">{}</span>').format(formats.number(0) if known else _NOTHING)
    said = visit.words.gettext("%(most)s at most, %(last)s at the end")
    label = said % {"most": formats.number(max(known)), "last": formats.number(known[-1])}
    return charts.spark(figures, label=label, tone=tone)
