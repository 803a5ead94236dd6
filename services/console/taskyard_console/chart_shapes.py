"""The shapes of charts, in the place of leather's own: lines that show single points, bars on top of each other.

They draw themselves as text: a chart has hundreds of points, and elements made for them take most of a page's time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol
from xml.etree.ElementTree import Element, SubElement  # nosec B405  # it writes XML, and reads none

from markupsafe import escape

from .axes import Scale

# 3:1 at least against the ground of the light and of the dark page, as `test_charts` checks.
BLUE, RED, GREEN, PURPLE, AMBER, GREY = "#2b7bba", "#d0453a", "#3a8f5c", "#8a5fb0", "#b07a00", "#7d8790"
LINES = ((BLUE, ""), (RED, "7 4"), (GREEN, "2 4"), (PURPLE, "10 3 2 3"))
# What bars are filled with. Those with a pattern have it in templates/patterns.html, once for all charts of a page.
TONES = {"good": GREEN, "bad": RED, "wait": AMBER, "odd": PURPLE, "quiet": GREY, "plain": BLUE}
_PATTERNS = frozenset({"bad", "wait", "odd", "quiet"})
_LETTER = 7.0
_SHAPE = "shape-"
_PALE = "0.4"

# A place on the axis of time, and a figure; None is a gap.
Places = Sequence[tuple[float, float | None]]


class Shape(Protocol):
    @property
    def look(self) -> Shape:
        """What its legend is drawn of, without its points."""

    def svg(self, width: float, height: float, x: Scale, y: Scale) -> str: ...

    def legend(self, name: str) -> tuple[Element, float]:
        """With its width."""


def tag_of(number: int) -> str:
    """What stands for a layer in a chart that is serialised, and so has no tag in its texts."""
    return f"<{_SHAPE}{number} />"


class Layer:
    """A shape as leather has them: an empty element stands for it, and leather says how large it is to be drawn."""

    width = height = 0.0

    def __init__(self, shape: Shape, number: int) -> None:
        self._shape = shape
        self._number = number

    def validate_series(self, series: Any) -> None:
        """Leather asks."""

    def to_svg(self, width: float, height: float, x: Scale, y: Scale, series: Any, palette: Any) -> Element:
        self.width, self.height = width, height
        return Element(f"{_SHAPE}{self._number}")

    def legend_to_svg(self, series: Any, palette: Any) -> list[tuple[Element, float]]:
        return [self._shape.legend(str(series.name))]


@dataclass(frozen=True, slots=True)
class Line:
    points: Places
    colour: str
    dashes: str = ""

    @property
    def look(self) -> Line:
        return Line((), self.colour, self.dashes)

    def svg(self, width: float, height: float, x: Scale, y: Scale) -> str:
        right, down = x.along(0, width), y.along(height, 0)
        dashes = f' stroke-dasharray="{self.dashes}"' if self.dashes else ""
        paths = []
        for run in _runs(self.points):
            places = "L".join([f"{right(at):.1f} {down(figure):.1f}" for at, figure in run])
            # A point alone is a path of no length, which its round ends make a dot.
            look = f'stroke-width="2"{dashes} d="M{places}"' if len(run) > 1 else f'stroke-width="4" d="M{places}h0"'
            paths.append(f"<path {look} />")
        return f'<g stroke="{self.colour}" stroke-linecap="round" fill="none">{"".join(paths)}</g>'

    def legend(self, name: str) -> tuple[Element, float]:
        item = Element("g")
        stroke = {"stroke": self.colour, "stroke-width": "2", "stroke-linecap": "round"}
        line = SubElement(item, "line", {**stroke, "x1": "0", "y1": "-4", "x2": "24", "y2": "-4"})
        if self.dashes:
            line.set("stroke-dasharray", self.dashes)
        return _named(item, name, 30)


@dataclass(frozen=True, slots=True)
class Bars:
    """`base`: where each bar begins, by its place on the axis. `step`: how long each of them lasts there. `until`:
    those that end later are not over yet, and are pale."""

    points: Places
    tone: str
    step: float
    base: Mapping[float, float] = field(default_factory=dict, hash=False)
    until: float = math.inf

    @property
    def look(self) -> Bars:
        return Bars((), self.tone, 0.0)

    def svg(self, width: float, height: float, x: Scale, y: Scale) -> str:
        right, down = x.along(0, width), y.along(height, 0)
        wide = max(right(self.step) - right(0.0) - 0.6, 0.6)
        full, pale = list[str](), list[str]()
        for at, figure in self.points:
            if figure:
                base = self.base.get(at, 0.0)
                bottom = down(base)
                # One task of thousands is seen, too.
                tall = max(bottom - down(base + figure), 1.0)
                bar = f"M{right(at):.1f} {bottom:.1f}v-{tall:.1f}h{wide:.1f}v{tall:.1f}z"
                (pale if at + self.step > self.until else full).append(bar)
        # A path for all of them: as elements of their own, they would take half of the page's time.
        paths = [f'<path d="{"".join(full)}" />' if full else ""]
        paths += [f'<path fill-opacity="{_PALE}" d="{"".join(pale)}" />' if pale else ""]
        return f'<g fill="{self._fill()}">{"".join(paths)}</g>'

    def legend(self, name: str) -> tuple[Element, float]:
        item = Element("g")
        SubElement(item, "rect", x="0", y="-10", width="14", height="12", fill=self._fill())
        return _named(item, name, 20)

    def _fill(self) -> str:
        return f"url(#tone-{self.tone})" if self.tone in _PATTERNS else TONES[self.tone]


@dataclass(frozen=True, slots=True)
class Told:
    """`shape`, with what the whole chart shows at a place as text where the reader points at it. `texts`: by their
    places; each is for the `step` that begins there."""

    shape: Shape
    texts: Mapping[float, str]
    step: float

    @property
    def look(self) -> Shape:
        return self.shape.look

    def svg(self, width: float, height: float, x: Scale, y: Scale) -> str:
        place = x.along(0, width)
        told = []
        for at, text in self.texts.items():
            left, right = max(place(at), 0.0), min(place(at + self.step), width)
            if right > left:
                box = f'x="{left:.1f}" width="{right - left:.1f}" height="{height:.1f}"'
                told.append(f"<rect {box}><title>{escape(text)}</title></rect>")
        return f'{self.shape.svg(width, height, x, y)}<g fill="none" pointer-events="all">{"".join(told)}</g>'

    def legend(self, name: str) -> tuple[Element, float]:
        return self.shape.legend(name)


def _named(item: Element, name: str, at: float) -> tuple[Element, float]:
    SubElement(item, "text", x=str(at), y="0").text = name
    return item, at + (len(name) + 2) * _LETTER


def _runs(points: Places) -> Iterator[list[tuple[float, float]]]:
    """The points between gaps."""
    for is_gap, run in groupby(points, lambda point: point[1] is None):
        if not is_gap:
            yield [(at, figure) for at, figure in run if figure is not None]
