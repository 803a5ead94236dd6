"""Back-off: how long to wait before something is tried again. Exponential, capped, with jitter.

Everything that tries again reckons here: loops that wait for a server (`Backoff`), attempts of a task
(`domain.retry`), and waits that PostgreSQL reckons for many rows at once (`backoff_sql`).

Jitter keeps those that failed together from coming back together (Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

# The share of a wait that jitter leaves: a second try that follows at once would meet the same outage.
JITTER_FLOOR = 0.5
# Not the global generator: task code may seed that, and processes would then wait in step.
_RANDOM = random.SystemRandom().random


def backoff_seconds(
    failures: int,
    *,
    first: float,
    longest: float,
    factor: float = 2.0,
    floor: float = JITTER_FLOOR,
    rand: Callable[[], float] = _RANDOM,
) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1 is the first): `first * factor ** (failures - 1)`,
    at most `longest`, then a random share of it between `floor` and 1. `floor=1` means no jitter.
    """
    try:
        seconds = min(first * factor ** max(0, failures - 1), longest)
    except OverflowError:  # 2.0 ** 2000, which is past any cap
        seconds = longest if first else 0.0
    return seconds * (floor + (1 - floor) * rand())


def backoff_sql(failures: str, *, first: float, longest: float) -> str:
    """The same as an SQL expression of type interval; `failures` is one that counts the failures before this one."""
    doublings = max(0, math.ceil(math.log2(longest / first)))
    return (
        f"interval '1 second' * least({longest:g}, {first:g} * power(2, least({failures}, {doublings})))"
        f" * ({JITTER_FLOOR:g} + random() * {1 - JITTER_FLOOR:g})"
    )


@dataclass(slots=True)
class Backoff:
    """The waits of one loop: each `next()` is one failure more, `reset()` forgets them."""

    first: float
    longest: float
    rand: Callable[[], float] = _RANDOM
    failures: int = field(default=0, init=False)

    def next(self) -> float:
        """Notes a failure; returns how many seconds to wait."""
        self.failures += 1
        return backoff_seconds(self.failures, first=self.first, longest=self.longest, rand=self.rand)

    def reset(self) -> bool:
        """It worked. Returns whether it had failed before."""
        had_failed, self.failures = self.failures > 0, 0
        return had_failed


def spread(seconds: float, *, floor: float = JITTER_FLOOR, rand: Callable[[], float] = _RANDOM) -> float:
    """A regular wait, with jitter and without growth: between `floor` times `seconds` and `seconds`."""
    return seconds * (floor + (1 - floor) * rand())
