"""Charts: SVG that the server draws, without any style of its own (the policy of the pages allows none).

Layout, grid and legend are leather's. Series are told apart without colour, too: lines by their dashes, bars by their
patterns. A chart is drawn small, so that its letters can be read on a telephone; pages show several side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import leather
import leather.svg
from markupsafe import Markup, escape

from .axes import Scale, figure_ticks, figure_words, time_ticks
from .chart_shapes import LINES, TONES, Bars, Line, Told
from .formats import Formats

WIDTH, HEIGHT = 440, 200
_SPARK_BARS = 40
# Whichever colours the reader sees: text as the page has it.
_INK = "currentColor"
_LETTERS = "12"

Points = Sequence[tuple[datetime, float | None]]


def lines(
    series: Sequence[tuple[str, Points]],
    *,
    zone: ZoneInfo,
    language: str = "en",
    unit: str = "number",
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Markup:
    """Lines over time: of each, its name and points of a time and a figure; None is a gap. `zone`: the reader's;
    `unit`: number, seconds, bytes or share. Empty where there is no figure at all."""
    times, most = _times(series), _most(figure for _, points in series for _, figure in points)
    if most is None:
        return Markup()
    shapes = {name: Line(*LINES[number % len(LINES)]) for number, (name, _) in enumerate(series)}
    shown = [one for one in series if any(figure is not None for _, figure in one[1])]
    step = min((then - at for at, then in pairwise(at.timestamp() for at in times)), default=1.0)
    # A point is in the middle of where the reader points at it.
    texts = {at - step / 2: text for at, text in _texts(shown, zone, language, unit).items()}
    chart = _chart(shown, [shapes[name] for name, _ in shown], texts, step)
    _over_time(chart, times[0], times[-1], zone, most, unit, language)
    return _drawn(chart, width, height)


def stacked(
    series: Sequence[tuple[str, str, Points]],
    *,
    step: float,
    zone: ZoneInfo,
    language: str = "en",
    unit: str = "number",
    with_all: bool = False,
    until: datetime | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Markup:
    """Bars over time, on top of each other: of each series its name, its tone (`chart_shapes.TONES`) and its points,
    which are `step` seconds apart; what is not over at `until` is drawn pale. Series without a figure are left out,
    unless `with_all`: one alone has no legend, and that nothing was there may be worth seeing. Empty where nothing was
    measured, or all was left out."""
    shown = [one for one in series if any(figure if not with_all else figure is not None for _, figure in one[2])]
    if not shown:
        return Markup()
    shown = list(series) if with_all else shown
    ends = math.inf if until is None else until.timestamp()
    named: list[tuple[str, Points]] = [(name, points) for name, _, points in shown]
    tops, shapes = dict[float, float](), list[Bars]()
    for _, tone, points in shown:
        shapes.append(Bars(tone, step, dict(tops), ends))
        for at, figure in points:
            tops[at.timestamp()] = tops.get(at.timestamp(), 0.0) + (figure or 0.0)
    bars = [(name, [(at, figure or 0.0) for at, figure in points]) for name, points in named]
    chart = _chart(bars, shapes, _texts(named, zone, language, unit), step)
    since, end = (datetime.fromtimestamp(at, UTC) for at in (min(tops), max(tops) + step))
    _over_time(chart, since, end, zone, max(tops.values()), unit, language)
    return _drawn(chart, width, height)


def spark(
    figures: Sequence[float | None], *, label: str, tone: str = "plain", width: int = 120, height: int = 28
) -> Markup:
    """A row of bars without axes, for a cell of a table; the most of them is as high as the cell. `label`: what it
    shows, in words. Empty where nothing but zeros was measured."""
    # Narrower bars could not be told apart: each stands for the most of several figures.
    together = -(-len(figures) // _SPARK_BARS)
    shown = [max(one or 0.0 for one in figures[n : n + together]) for n in range(0, len(figures), together or 1)]
    most = max(shown, default=0.0)
    if not most:
        return Markup()
    step, ground = width / len(shown), height - 1
    # One path: a list has fifty sparks, and each bar as an element of its own would take half of the page's time.
    bars = (
        f"M{n * step:.1f} {ground}v-{max(figure / most * ground, 1.0):.1f}h{max(step - 0.6, 0.6):.1f}V{ground}z"
        for n, figure in enumerate(shown)
        if figure
    )
    inside = f'<title>{escape(label)}</title><path fill="{TONES[tone]}" d="{"".join(bars)}" />'
    return _svg(inside, width, height, Markup('role="img" aria-label="{}" class="spark"').format(label))


def _chart(
    series: Sequence[tuple[str, Points]], shapes: Sequence[Line | Bars], texts: Mapping[float, str], step: float
) -> Any:
    """The last series has the texts: it is drawn on top."""
    chart = leather.Chart()
    drawn = [*shapes[:-1], Told(shapes[-1], texts, step)]
    for (name, points), shape in zip(series, drawn, strict=True):
        chart.add_series(leather.Series([(at.timestamp(), figure) for at, figure in points], name=name), shape)
    return chart


def _texts(series: Sequence[tuple[str, Points]], zone: ZoneInfo, language: str, unit: str) -> dict[float, str]:
    """What is shown at each time, by its seconds; zeros are told where nothing else is."""
    formats, told = Formats(language), figure_words(unit, language)
    found: dict[datetime, list[tuple[str, float]]] = {}
    for name, points in series:
        for at, figure in points:
            if figure is not None:
                found.setdefault(at, []).append((name, figure))
    return {
        at.timestamp(): "\n".join(
            [
                formats.moment(at, zone),
                *(f"{name}: {told(figure)}" for name, figure in row if figure or not any(f for _, f in row)),
            ]
        )
        for at, row in found.items()
    }


def _over_time(
    chart: Any, since: datetime, until: datetime, zone: ZoneInfo, most: float, unit: str, language: str
) -> None:
    figures, times = figure_ticks(most, unit, language), time_ticks(since, until, zone, language)
    chart.set_x_scale(Scale(since.timestamp(), until.timestamp()))
    chart.set_y_scale(Scale(0.0, figures.values[-1]))
    chart.add_x_axis(times.values, times.label)
    chart.add_y_axis(figures.values, figures.label)


def _times(series: Sequence[tuple[str, Points]]) -> list[datetime]:
    return sorted({at for _, points in series for at, _ in points})


def _most(figures: Any) -> float | None:
    return max((figure for figure in figures if figure is not None), default=None)


def _drawn(chart: Any, width: int, height: int) -> Markup:
    """Hidden from screen readers, which have the table beside it. The serialiser escapes names."""
    group = chart.to_svg_group(width, height)
    group.remove(group[0])  # the background, which is white
    # The legend, which leather breaks into rows of the chart's whole width, but begins where the y axis ends.
    group[0][0].set("transform", "translate(0,0)")
    for element in group.iter("text"):
        _set(element.attrib, {"fill": _INK, "font-size": _LETTERS}, without="font-family")
    for element in group.iter("g"):
        if "tick" in element.get("class", ""):
            _set(element[0].attrib, {"stroke": _INK, "stroke-opacity": "0.2"})
    return _svg(leather.svg.stringify(group), width, height, 'aria-hidden="true"')


def _set(attributes: Any, values: Mapping[str, str], without: str = "") -> None:
    attributes.update(values)
    attributes.pop(without, None)


def _svg(inside: str, width: int, height: int, attributes: str) -> Markup:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {attributes}>'
    return Markup(f"{head}{inside}</svg>")  # noqa: S704 - escaped by the serialiser, or above
