"""How long an attempt may take, counted from the moment its function begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from taskyard.lifecycle.claim import Claimed

# A task whose whole life is over has this long to come to an end before its process is ended.
LAST_WORDS_SECONDS = 10.0


# Made for every task: frozen, it would be several times as dear.
@dataclass(slots=True, eq=False)
class Limits:
    """The limits of an attempt: its own, or the end of the task's life where that comes first (`expires`)."""

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
