"""The shapes of charts, in the place of leather's own: lines that show single points, bars on top of each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element, SubElement  # nosec B405  # it writes XML, and reads none

from .axes import Scale

# 3:1 at least against the ground of the light and of the dark page, as `test_charts` checks.
BLUE, RED, GREEN, PURPLE, AMBER, GREY = "#2b7bba", "#d0453a", "#3a8f5c", "#8a5fb0", "#b07a00", "#7d8790"
LINES = ((BLUE, ""), (RED, "7 4"), (GREEN, "2 4"), (PURPLE, "10 3 2 3"))
# What bars are filled with. Those with a pattern have it in templates/patterns.html, once for all charts of a page.
TONES = {"good": GREEN, "bad": RED, "wait": AMBER, "odd": PURPLE, "quiet": GREY, "plain": BLUE}
_PATTERNS = frozenset({"bad", "wait", "odd", "quiet"})
_LETTER = 7.0
_PALE = "0.4"
_UNSEEN = {"fill": "none", "pointer-events": "all"}


@dataclass(frozen=True, slots=True)
class Line:
    colour: str
    dashes: str = ""

    def validate_series(self, series: Any) -> None:
        """Leather asks."""

    def to_svg(self, width: float, height: float, x: Scale, y: Scale, series: Any, palette: Any) -> Element:
        group = Element("g")
        for run in _runs(series):
            places = [f"{x.project(at, 0, width)} {y.project(figure, height, 0)}" for at, figure in run]
            # A point alone is a path of no length, which its round ends make a dot.
            d = f"M{places[0]}" + ("h0" if len(places) == 1 else "".join(f"L{place}" for place in places[1:]))
            path = SubElement(group, "path", {**self._stroke(), "d": d, "fill": "none"})
            if len(places) == 1:
                path.attrib.pop("stroke-dasharray", None)
                path.set("stroke-width", "4")
        return group

    def legend_to_svg(self, series: Any, palette: Any) -> list[tuple[Element, float]]:
        item = Element("g")
        SubElement(item, "line", {**self._stroke(), "x1": "0", "y1": "-4", "x2": "24", "y2": "-4"})
        return [_named(item, str(series.name), 30)]

    def _stroke(self) -> dict[str, str]:
        dashes = {"stroke-dasharray": self.dashes} if self.dashes else {}
        return {"stroke": self.colour, "stroke-width": "2", "stroke-linecap": "round", **dashes}


@dataclass(frozen=True, slots=True)
class Bars:
    """`base`: where each bar begins, by its place on the axis. `step`: how long each of them lasts there. `until`:
    those that end later are not over yet, and are pale."""

    tone: str
    step: float
    base: Mapping[float, float] = field(default_factory=dict)
    until: float = math.inf

    def validate_series(self, series: Any) -> None:
        """Leather asks."""

    def to_svg(self, width: float, height: float, x: Scale, y: Scale, series: Any, palette: Any) -> Element:
        group = Element("g", fill=self._fill())
        for datum in series.data():
            if not datum.y:
                continue
            left, right = x.project(datum.x, 0, width), x.project(datum.x + self.step, 0, width)
            base = self.base.get(datum.x, 0.0)
            bottom, top = y.project(base, height, 0), y.project(base + datum.y, height, 0)
            # One task of thousands is seen, too.
            tall = max(bottom - top, 1.0)
            box = {"x": left, "y": bottom - tall, "width": max(right - left - 0.6, 0.6), "height": tall}
            pale = {"fill-opacity": _PALE} if datum.x + self.step > self.until else {}
            SubElement(group, "rect", {**{name: f"{value:.1f}" for name, value in box.items()}, **pale})
        return group

    def legend_to_svg(self, series: Any, palette: Any) -> list[tuple[Element, float]]:
        item = Element("g")
        SubElement(item, "rect", x="0", y="-10", width="14", height="12", fill=self._fill())
        return [_named(item, str(series.name), 20)]

    def _fill(self) -> str:
        return f"url(#tone-{self.tone})" if self.tone in _PATTERNS else TONES[self.tone]


@dataclass(frozen=True, slots=True)
class Told:
    """`shape`, with what the whole chart shows at a place as text where the reader points at it. `texts`: by their
    places; each is for the `step` that begins there."""

    shape: Line | Bars
    texts: Mapping[float, str]
    step: float

    def validate_series(self, series: Any) -> None:
        """Leather asks."""

    def to_svg(self, width: float, height: float, x: Scale, y: Scale, series: Any, palette: Any) -> Element:
        group = Element("g")
        group.append(self.shape.to_svg(width, height, x, y, series, palette))
        for at, text in self.texts.items():
            left, right = max(x.project(at, 0, width), 0.0), min(x.project(at + self.step, 0, width), width)
            if right > left:
                box = {"x": f"{left:.1f}", "y": "0", "width": f"{right - left:.1f}", "height": f"{height:.1f}"}
                SubElement(SubElement(group, "rect", {**box, **_UNSEEN}), "title").text = text
        return group

    def legend_to_svg(self, series: Any, palette: Any) -> list[tuple[Element, float]]:
        return self.shape.legend_to_svg(series, palette)


def _named(item: Element, name: str, at: float) -> tuple[Element, float]:
    SubElement(item, "text", x=str(at), y="0").text = name
    return item, at + (len(name) + 2) * _LETTER


def _runs(series: Any) -> Iterator[list[tuple[float, float]]]:
    """The points between gaps."""
    run: list[tuple[float, float]] = []
    for datum in series.data():
        if datum.y is not None:
            run.append((datum.x, datum.y))
        elif run:
            yield run
            run = []
    if run:
        yield run
