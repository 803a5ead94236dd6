"""Detects a loop of this process that is stuck."""

from __future__ import annotations

import time
from collections.abc import Callable


class LoopWatch:
    """Each loop reports every turn; `stuck` names one that has not turned for too long."""

    def __init__(self, loops: tuple[str, ...], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned = dict.fromkeys(loops, clock())
        self._asked = clock()

    def turned(self, loop: str) -> None:
        self._turned[loop] = self._clock()

    def stuck(self, *, after_seconds: float) -> str | None:
        """The name of a loop that has not turned for so long, or None; to be called about once a second.

        Where the last call was more than half that time ago, the whole process was stopped (SIGSTOP, a frozen
        container). Then all loops get the full time again, because the first one to wake up would find all others late.
        """
        now = self._clock()
        asked, self._asked = self._asked, now
        if now - asked > after_seconds / 2:
            self._turned = dict.fromkeys(self._turned, now)
        return next((loop for loop, turned in self._turned.items() if now - turned > after_seconds), None)
