"""Charts as vectors: bars that are the sum of their series, upright for a course and lying for long names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import Color, HexColor

from .fonts import PLAIN, drawable, fitted, width_of
from .languages import Language
from .parts import Chart, Series

_SIZE = 7.0
_GAP = 4.0
_HEIGHT = 150.0
_LEGEND = 16.0
_BELOW = 14.0  # for the labels of upright bars
_ROW = 15.0
_STEPS = 4
_INK, _GRID = HexColor("#333333"), HexColor("#DDDDDD")


def drawn(chart: Chart, width: float, language: Language) -> Drawing:
    return _lying(chart, width, language) if chart.lying else _upright(chart, width, language)


def rounded_up(most: int) -> float:
    """The end of an axis, whose quarters are round numbers: 1, 2, 4 or 8 times a power of ten."""
    if most <= _STEPS:
        return float(_STEPS)
    power = 10.0 ** math.floor(math.log10(most))
    return next(n * power for n in (1, 2, 4, 8, 10) if n * power >= most)


def _upright(chart: Chart, width: float, language: Language) -> Drawing:
    drawing = Drawing(width, _HEIGHT)
    top = rounded_up(max(_sums(chart)))
    ticks = [(n / _STEPS, language.short_number(top * n / _STEPS)) for n in range(_STEPS + 1)]
    left = max(width_of(text, _SIZE) for _, text in ticks) + _GAP
    height = _HEIGHT - _LEGEND - _BELOW
    for share, text in ticks:
        y = _BELOW + share * height
        drawing.add(Line(left, y, width, y, strokeColor=_GRID, strokeWidth=0.5))
        drawing.add(_text(left - _GAP, y - _SIZE / 3, text, "end"))
    slot = (width - left) / len(chart.labels)
    every = _labelled_every(chart.labels, slot)
    for n, label in enumerate(chart.labels):
        y, x = _BELOW, left + n * slot
        for one in _seen(chart, n):
            part = one.values[n] / top * height
            drawing.add(_bar(x + slot * 0.15, y, slot * 0.7, part, HexColor(one.tone.value)))
            y += part
        if n % every == 0:
            drawing.add(_text(x + slot / 2, _BELOW - _SIZE - 2, label, "middle"))
    _add_legend(drawing, chart, left, _HEIGHT - _SIZE)
    return drawing


def _lying(chart: Chart, width: float, language: Language) -> Drawing:
    rows = len(chart.labels)
    height = rows * _ROW + (_LEGEND if len(chart.series) > 1 else 0)
    drawing = Drawing(width, height)
    labels = [fitted(label, width * 0.35, _SIZE) for label in chart.labels]
    numbers = [language.number(total) for total in _sums(chart)]
    left = max(width_of(label, _SIZE) for label in labels) + _GAP
    longest = width - left - max(width_of(number, _SIZE) for number in numbers) - 2 * _GAP
    most = max(_sums(chart)) or 1
    for n, (label, number) in enumerate(zip(labels, numbers, strict=True)):
        x, y = left, (rows - 1 - n) * _ROW + 2
        drawing.add(_text(left - _GAP, y + _SIZE / 2 - 1, label, "end"))
        for one in _seen(chart, n):
            part = one.values[n] / most * longest
            drawing.add(_bar(x, y, part, _ROW - 5, HexColor(one.tone.value)))
            x += part
        drawing.add(_text(x + _GAP, y + _SIZE / 2 - 1, number, "start"))
    if len(chart.series) > 1:
        _add_legend(drawing, chart, left, height - _SIZE)
    return drawing


def _seen(chart: Chart, n: int) -> list[Series]:
    """A bar of no height would be drawn as a hairline."""
    return [one for one in chart.series if one.values[n]]


def _sums(chart: Chart) -> list[int]:
    return [sum(values) for values in zip(*(one.values for one in chart.series), strict=True)]


def _labelled_every(labels: Sequence[str], slot: float) -> int:
    """Each label, or as many as fit beside each other."""
    return max(1, math.ceil((max(width_of(label, _SIZE) for label in labels) + _GAP) / slot))


def _bar(x: float, y: float, width: float, height: float, color: Color) -> Rect:
    look: dict[str, Any] = {"fillColor": color, "strokeColor": None, "strokeWidth": 0}
    return Rect(x, y, width, height, **look)


def _text(x: float, y: float, text: str, anchor: Literal["start", "middle", "end"]) -> String:
    return String(x, y, drawable(text), fontName=PLAIN, fontSize=_SIZE, fillColor=_INK, textAnchor=anchor)


def _add_legend(drawing: Drawing, chart: Chart, x: float, y: float) -> None:
    for one in chart.series:
        drawing.add(_bar(x, y, _SIZE, _SIZE, HexColor(one.tone.value)))
        drawing.add(_text(x + _SIZE + _GAP / 2, y + 0.5, one.name, "start"))
        x += _SIZE + width_of(one.name, _SIZE) + 4 * _GAP
