"""Bars: one figure each, which is met or missed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """`value` has to be `limit` at most, or at least where `is_floor`."""

    title: str
    value: float
    limit: float
    is_floor: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.limit if self.is_floor else self.value <= self.limit

    @property
    def wanted(self) -> str:
        return f"{'>=' if self.is_floor else '<='} {self.limit:g}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: within a round both see the same load of the machine."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown. The first column is text, the others are figures."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        aligned = [c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(aligned)} |"

    rule = [f"{'-' * (w - 1)}{'-' if n == 0 else ':'}" for n, w in enumerate(widths)]
    return "\n".join(line(cells) for cells in (head, rule, *rows))


def bars_table(bars: Sequence[Bar]) -> str:
    rows = [(b.title, f"{b.value:.2f}", b.wanted, "met" if b.is_met else "MISSED") for b in bars]
    return table(("figure", "measured", "bar", ""), rows)
