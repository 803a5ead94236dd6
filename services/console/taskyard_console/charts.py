"""Charts: SVG that the server draws, without any style of its own (the policy of the pages allows none).

Layout, grid and legend are leather's. Series are told apart without colour, too: lines by their dashes, bars by their
patterns. A chart is drawn small, so that its letters can be read on a telephone; pages show several side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import leather
import leather.svg
from markupsafe import Markup, escape

from .axes import Axis, Ticks, figure_ticks, figure_words, time_ticks
from .chart_shapes import LINES, TONES, Bars, Layer, Line, Shape, Told, tag_of
from .formats import Formats

WIDTH, HEIGHT = 440, 200
_SPARK_BARS = 40
# Whichever colours the reader sees: text as the page has it.
_INK = "currentColor"
_LETTERS = "12"
# Shapes have their own: leather measures none.
_NO_DATA = ((0.0, 0.0),)

# At each of the times of a chart; None is a gap.
Figures = Sequence[float | None]


class Times:
    """Those at which figures were measured, the oldest first, also as seconds and in the reader's words: charts of the
    same times share them. `zone`: the reader's."""

    def __init__(self, times: Sequence[datetime], *, zone: ZoneInfo, language: str) -> None:
        formats = Formats(language)
        self.zone = zone
        self.language = language
        self.seconds = [at.timestamp() for at in times]
        self.words = [formats.moment(at, zone) for at in times]
        self._ticks: dict[float, Ticks] = {}

    def ticks(self, more: float = 0.0) -> Ticks:
        """From the first of them to `more` seconds after the last."""
        if more not in self._ticks:
            since, until = (datetime.fromtimestamp(at, UTC) for at in (self.seconds[0], self.seconds[-1] + more))
            self._ticks[more] = time_ticks(since, until, self.zone, self.language)
        return self._ticks[more]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart, and its figures as the rows of a table: each begins with its time. Empty where there is no figure."""

    svg: Markup
    rows: Sequence[tuple[str, ...]]


NOTHING = Drawn(Markup(), ())


def lines(times: Times, series: Sequence[tuple[str, Figures]], *, unit: str = "number") -> Drawn:
    """Lines over time: of each, its name and its figures. `unit`: number, seconds, bytes or share. Nothing where there
    is no figure at all."""
    known = [figure for _, figures in series for figure in figures if figure is not None]
    if not known:
        return NOTHING
    told = figure_words(unit, times.language)
    words = [["" if figure is None else told(figure) for figure in figures] for _, figures in series]
    step = min((then - at for at, then in pairwise(times.seconds)), default=1.0)
    # A point is in the middle of where the reader points at it.
    texts = {at - step / 2: text for at, text in _texts(times, series, words).items()}
    shapes = [
        (name, Line(list(zip(times.seconds, figures, strict=True)), *LINES[number % len(LINES)]))
        for number, (name, figures) in enumerate(series)
        if any(figure is not None for figure in figures)
    ]
    axes = times.ticks(), figure_ticks(max(known), unit, times.language)
    rows = [row for row in zip(times.words, *words, strict=True) if any(row[1:])]
    return Drawn(_svg_of(shapes, texts, step, *axes), rows)


def stacked(
    times: Times,
    series: Sequence[tuple[str, str, Figures]],
    *,
    step: float,
    unit: str = "number",
    with_all: bool = False,
    until: datetime | None = None,
) -> Drawn:
    """Bars over time, on top of each other: of each series its name, its tone (`chart_shapes.TONES`) and its figures,
    which are for `step` seconds; what is not over at `until` is drawn pale. Series without a figure are left out,
    unless `with_all`: one alone has no legend, and that nothing was there may be worth seeing. Nothing where nothing
    was measured, or all was left out."""
    if not any(figure if not with_all else figure is not None for _, _, figures in series for figure in figures):
        return NOTHING
    told = figure_words(unit, times.language)
    words = [[told(figure or 0) for figure in figures] for _, _, figures in series]
    ends = math.inf if until is None else until.timestamp()
    tops, shapes, shown = dict.fromkeys(times.seconds, 0.0), list[tuple[str, Bars]](), list[int]()
    for number, (name, tone, figures) in enumerate(series):
        if with_all or any(figures):
            shown.append(number)
            shapes.append((name, Bars(list(zip(times.seconds, figures, strict=True)), tone, step, tops, ends)))
            tops = {at: top + (figure or 0.0) for (at, top), figure in zip(tops.items(), figures, strict=True)}
    texts = _texts(times, [(series[n][0], series[n][2]) for n in shown], [words[n] for n in shown])
    axes = times.ticks(step), figure_ticks(max(tops.values()), unit, times.language)
    counted = zip(times.words, *words, strict=True), zip(*(figures for _, _, figures in series), strict=True)
    rows = [row for row, figures in zip(*counted, strict=True) if any(figures)]
    return Drawn(_svg_of(shapes, texts, step, *axes), rows)


# A live list has most of them again.
@lru_cache(1_000)
def spark(
    figures: tuple[float | None, ...], *, label: str, tone: str = "plain", width: int = 120, height: int = 28
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


def _texts(times: Times, series: Sequence[tuple[str, Figures]], words: Sequence[Sequence[str]]) -> dict[float, str]:
    """What is shown at each time, by its seconds; zeros are told where nothing else is."""
    names = [name for name, _ in series]
    rows = zip(zip(*(figures for _, figures in series), strict=True), zip(*words, strict=True), strict=True)
    texts = {}
    for at, moment, (figures, said) in zip(times.seconds, times.words, rows, strict=True):
        told = [f"{name}: {word}" for name, figure, word in zip(names, figures, said, strict=True) if figure]
        if not told:
            row = zip(names, figures, said, strict=True)
            told = [f"{name}: {word}" for name, figure, word in row if figure is not None]
        if told:
            texts[at] = "\n".join([moment, *told])
    return texts


def _svg_of(
    series: Sequence[tuple[str, Shape]],
    texts: Mapping[float, str],
    step: float,
    times: Ticks,
    figures: Ticks,
) -> Markup:
    """Hidden from screen readers, which have the table beside it. The last shape has the texts: it is drawn on top."""
    frame = _frame(tuple((name, shape.look) for name, shape in series), times.axis, figures.axis)
    inside, size = frame.svg, (frame.width, frame.height)
    for number, (_, shape) in enumerate(series, 1):
        shown = Told(shape, texts, step) if number == len(series) else shape
        inside = inside.replace(tag_of(number), shown.svg(*size, times.scale, figures.scale))
    return _svg(inside, WIDTH, HEIGHT, 'aria-hidden="true"')


class _Frame(NamedTuple):
    """What stands around the shapes, which have a tag each in `svg`; `width` and `height` are theirs."""

    svg: str
    width: float
    height: float


# Until the next point is measured, or the most of them is another.
@lru_cache(200)
def _frame(series: tuple[tuple[str, Shape], ...], times: Axis, figures: Axis) -> _Frame:
    """Axes, grid and legend. The serialiser escapes names."""
    chart, layers = leather.Chart(), list[Layer]()
    for number, (name, look) in enumerate(series, 1):
        layers.append(Layer(look, number))
        chart.add_series(leather.Series(_NO_DATA, name=name), layers[-1])
    chart.set_x_scale(times.scale)
    chart.set_y_scale(figures.scale)
    chart.add_x_axis(times.values, times.label)
    chart.add_y_axis(figures.values, figures.label)
    group = chart.to_svg_group(WIDTH, HEIGHT)
    group.remove(group[0])  # the background, which is white
    # The legend, which leather breaks into rows of the chart's whole width, but begins where the y axis ends.
    group[0][0].set("transform", "translate(0,0)")
    for element in group.iter("text"):
        _set(element.attrib, {"fill": _INK, "font-size": _LETTERS}, without="font-family")
    for element in group.iter("g"):
        if "tick" in element.get("class", ""):
            _set(element[0].attrib, {"stroke": _INK, "stroke-opacity": "0.2"})
    return _Frame(leather.svg.stringify(group), layers[0].width, layers[0].height)


def _set(attributes: Any, values: Mapping[str, str], without: str = "") -> None:
    attributes.update(values)
    attributes.pop(without, None)


def _svg(inside: str, width: int, height: int, attributes: str) -> Markup:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {attributes}>'
    return Markup(f"{head}{inside}</svg>")  # noqa: S704 - escaped by the serialiser, or above
