"""What a report consists of, before it is drawn: parts with a table and a chart, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


class Tone(Enum):
    """What a colour says. Those of outcomes can be told apart by people who do not see red and green alike (Okabe, Ito:
    Color Universal Design, 2008)."""

    GOOD = "#009E73"
    BAD = "#D55E00"
    STOPPED = "#999999"
    PENDING = "#E69F00"
    PLAIN = "#0072B2"


@dataclass(frozen=True, slots=True)
class Column:
    """`share`: how wide it is, compared to the others; text runs over lines, numbers stand at the right."""

    title: str
    share: float = 1.0
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`hidden`: how many rows there are beside these."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    tone: Tone
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, of which each is the sum of its series. Upright ones show a course; lying ones have long labels."""

    labels: Sequence[str]
    series: Sequence[Series]
    lying: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    title: str
    notes: Sequence[str] = ()
    chart: Chart | None = None
    table: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`missing`: the titles of parts for which there was no time."""

    title: str
    subtitles: Sequence[str]
    parts: Sequence[Part]
    missing: Sequence[str] = field(default=())
