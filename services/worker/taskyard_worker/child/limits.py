"""How long an attempt may run, counted from the moment its function begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from taskyard.lifecycle.claim import Claimed

# After the end of its life a task has so long to end by itself, before its process is ended.
LAST_WORDS_SECONDS = 10.0


# Made for every task; a frozen class would cost several times as much.
@dataclass(slots=True, eq=False)
class Limits:
    """The type's limits, or the end of the task's life where that comes first (`soft_expires`, `hard_expires`)."""

    soft_seconds: float
    hard_seconds: float
    soft_expires: bool = False
    hard_expires: bool = False

    @classmethod
    def of(cls, work: Claimed) -> Limits:
        soft, hard = work.soft_timeout_seconds, work.hard_timeout_seconds
        if work.life_left_seconds is None:
            return cls(soft, hard)
        end = max(0.0, work.life_left_seconds)
        last = end + LAST_WORDS_SECONDS
        return cls(min(soft, end), min(hard, last), end < soft, last < hard)


UNLIMITED = Limits(math.inf, math.inf)
