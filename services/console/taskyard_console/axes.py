"""The axes of charts: where figures and times lie, and which of them are named."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from .formats import Formats

# As many lines of the grid as the eye can tell apart in a small chart.
_MOST_STEPS = 4
_ROUND = (1, 2, 5)
# Of seconds, of which small charts show thousandths.
_FINE = "0.######"
_LONGER = (60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# A chart of up to so long has a named time every so often.
_TIMES = (
    (2 * _HOUR, 15 * _MINUTE),
    (8 * _HOUR, _HOUR),
    (2 * _DAY, 6 * _HOUR),
    (8 * _DAY, _DAY),
    (40 * _DAY, 7 * _DAY),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear, in the place of one of leather's: with floats, and bounded by the ticks that are drawn."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        return True

    def project(self, value: float, range_min: float, range_max: float) -> float:
        share = (float(value) - self.low) / ((self.high - self.low) or 1.0)
        return round(float(range_min) + (float(range_max) - float(range_min)) * share, 1)

    def along(self, range_min: float, range_max: float) -> Callable[[float], float]:
        """As `project`, for many values, and not rounded."""
        low, per = self.low, (range_max - range_min) / ((self.high - self.low) or 1.0)
        return lambda value: range_min + (value - low) * per

    def ticks(self) -> Sequence[float]:
        return (self.low, self.high)


@dataclass(frozen=True, slots=True)
class Ticks:
    """On `scale`."""

    scale: Scale
    values: Sequence[float]
    named: Callable[[float], str]

    @property
    def axis(self) -> Axis:
        return Axis(self.scale, tuple(self.values), tuple(map(self.named, self.values)))


class Axis(NamedTuple):
    """Ticks with their names, as values that can be compared."""

    scale: Scale
    values: Sequence[float]
    names: Sequence[str]

    def label(self, value: float, index: int, count: int) -> str:
        """As leather asks for it."""
        return self.names[index]


def figure_ticks(most: float, unit: str, language: str) -> Ticks:
    """From 0 to `most` at least. `unit`: number, seconds, bytes or share."""
    step = _step(max(most, 0.0), unit)
    values = [step * n for n in range(max(1, math.ceil(most / step - 1e-9)) + 1)]
    return Ticks(Scale(0.0, values[-1]), values, _names(unit, language))


def _step(most: float, unit: str) -> float:
    if unit == "bytes":
        return 2.0 ** math.ceil(math.log2(max(most, 4.0) / _MOST_STEPS))
    least = most / _MOST_STEPS
    if unit == "seconds" and least > 30:
        return float(next((step for step in _LONGER if step >= least), math.ceil(least / 86_400) * 86_400))
    if least == 0:
        return 0.5 if unit == "share" else 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * one for one in (*_ROUND, 10) if power * one >= least * (1 - 1e-9))
    return max(step, 1.0) if unit == "number" else step


def _names(unit: str, language: str) -> Callable[[float], str]:
    formats, told = Formats(language), figure_words(unit, language)
    if unit == "seconds":
        return lambda value: f"{formats.number(round(value, 6), _FINE)} s" if value < 60 else told(value)
    return told


def figure_words(unit: str, language: str) -> Callable[[float], str]:
    """How a figure of a chart is told."""
    formats = Formats(language)
    match unit:
        case "seconds":
            return formats.duration
        case "bytes":
            return formats.bytes
        case "share":
            return formats.percent
    return lambda value: formats.number(round(value, 6))


def time_ticks(since: datetime, until: datetime, zone: ZoneInfo, language: str) -> Ticks:
    """Round times of the reader's zone."""
    formats, lasts = Formats(language), until - since
    step = next((step for longest, step in _TIMES if lasts <= longest), 30 * _DAY)
    # By the clock on the wall: where it is put forward, the times that are named stay round.
    local = since.astimezone(zone).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + (local - midnight) // step * step
    values = []
    while (seconds := at.replace(tzinfo=zone).timestamp()) <= until.timestamp():
        if seconds >= since.timestamp():
            values.append(seconds)
        at += step
    named = formats.day if step >= _DAY else formats.minute
    scale = Scale(since.timestamp(), until.timestamp())
    return Ticks(scale, values, lambda value: named(datetime.fromtimestamp(value, UTC), zone))
