"""Charts: SVG that the server draws, without any style of its own (the policy of the pages allows none).

Layout, grid and legend are leather's. Series are told apart without colour, too: lines by their dashes, bars by their
patterns. A chart is drawn small, so that its letters can be read on a telephone; pages show several side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import leather
import leather.svg
from markupsafe import Markup, escape

from .axes import Ticks, figure_ticks, figure_words, time_ticks
from .chart_shapes import LINES, TONES, Bars, Layer, Line, Places, Shape, Told
from .formats import Formats

WIDTH, HEIGHT = 440, 200
_SPARK_BARS = 40
# Whichever colours the reader sees: text as the page has it.
_INK = "currentColor"
_LETTERS = "12"
# Shapes have their own: leather measures none.
_NO_DATA = ((0.0, 0.0),)

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
    figures = [figure for _, points in series for _, figure in points if figure is not None]
    if not figures:
        return Markup()
    times = sorted({at for _, points in series for at, _ in points})
    step = min((then - at for at, then in pairwise(at.timestamp() for at in times)), default=1.0)
    shown = [
        (name, Line(_places(points), *LINES[number % len(LINES)]))
        for number, (name, points) in enumerate(series)
        if any(figure is not None for _, figure in points)
    ]
    # A point is in the middle of where the reader points at it.
    told = {at - step / 2: text for at, text in _texts(series, zone, language, unit).items()}
    axes = figure_ticks(max(figures), unit, language), time_ticks(times[0], times[-1], zone, language)
    return _drawn(_with_texts(shown, told, step), *axes, width, height)


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
    tops, bars = dict[float, float](), list[tuple[str, Bars]]()
    for name, tone, points in shown:
        places = _places(points)
        bars.append((name, Bars(places, tone, step, dict(tops), ends)))
        for at, figure in places:
            tops[at] = tops.get(at, 0.0) + (figure or 0.0)
    told = _texts([(name, points) for name, _, points in shown], zone, language, unit)
    since, end = (datetime.fromtimestamp(at, UTC) for at in (min(tops), max(tops) + step))
    axes = figure_ticks(max(tops.values()), unit, language), time_ticks(since, end, zone, language)
    return _drawn(_with_texts(bars, told, step), *axes, width, height)


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


def _places(points: Points) -> Places:
    return [(at.timestamp(), figure) for at, figure in points]


def _texts(series: Sequence[tuple[str, Points]], zone: ZoneInfo, language: str, unit: str) -> dict[float, str]:
    """What is shown at each time, by its seconds; zeros are told where nothing else is."""
    formats, told = Formats(language), figure_words(unit, language)
    found: dict[datetime, list[tuple[str, float]]] = {}
    for name, points in series:
        for at, figure in points:
            if figure is not None:
                found.setdefault(at, []).append((name, figure))
    texts = {}
    for at, row in found.items():
        shown = [one for one in row if one[1]] or row
        texts[at.timestamp()] = "\n".join(
            [formats.moment(at, zone), *(f"{name}: {told(figure)}" for name, figure in shown)]
        )
    return texts


def _with_texts(shapes: Sequence[tuple[str, Shape]], texts: Mapping[float, str], step: float) -> list[tuple[str, Shape]]:
    """The last one has the texts: it is drawn on top."""
    *others, (name, top) = shapes
    return [*others, (name, Told(top, texts, step))]


def _drawn(shapes: Sequence[tuple[str, Shape]], figures: Ticks, times: Ticks, width: int, height: int) -> Markup:
    """Hidden from screen readers, which have the table beside it. The serialiser escapes names."""
    chart, layers = leather.Chart(), [Layer(shape, number) for number, (_, shape) in enumerate(shapes)]
    for (name, _), layer in zip(shapes, layers, strict=True):
        chart.add_series(leather.Series(_NO_DATA, name=name), layer)
    chart.set_x_scale(times.scale)
    chart.set_y_scale(figures.scale)
    chart.add_x_axis(times.values, times.label)
    chart.add_y_axis(figures.values, figures.label)
    group = chart.to_svg_group(width, height)
    group.remove(group[0])  # the background, which is white
    # The legend, which leather breaks into rows of the chart's whole width, but begins where the y axis ends.
    group[0][0].set("transform", "translate(0,0)")
    for element in group.iter("text"):
        _set(element.attrib, {"fill": _INK, "font-size": _LETTERS}, without="font-family")
    for element in group.iter("g"):
        if "tick" in element.get("class", ""):
            _set(element[0].attrib, {"stroke": _INK, "stroke-opacity": "0.2"})
    inside = reduce(lambda text, layer: layer.filled(text), layers, leather.svg.stringify(group))
    return _svg(inside, width, height, 'aria-hidden="true"')


def _set(attributes: Any, values: Mapping[str, str], without: str = "") -> None:
    attributes.update(values)
    attributes.pop(without, None)


def _svg(inside: str, width: int, height: int, attributes: str) -> Markup:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {attributes}>'
    return Markup(f"{head}{inside}</svg>")  # noqa: S704 - escaped by the serialiser, or above
