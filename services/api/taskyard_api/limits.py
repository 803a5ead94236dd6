"""The rate limit of keys, in memory that all processes of one API share."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

# More keys than this are seldom limited at a time; then one makes room that has not been used for longest.
SLOTS = 16_384
_LOOKS = 8
_BYTES = 2 * 8 * SLOTS
_LOW_BITS = (1 << 64) - 1
_ROUNDING = 1e-6


def shared_slots(path: Path) -> mmap.mmap:
    """The file's memory, the same for all processes that name it."""
    with path.open("a+b") as file:
        file.truncate(_BYTES)
        return mmap.mmap(file.fileno(), _BYTES)


class RateLimit:
    """`per_second` requests per second and key, with bursts of one second's worth; 0: no limit.

    One number a key is enough: the time at which its bucket will be full again (GCRA, ITU-T I.371). It is written in
    one piece, without a lock: of two processes that take for one key in the same microsecond, one may count for both.
    """

    def __init__(
        self, per_second: float, *, clock: Callable[[], float] = time.monotonic, slots: mmap.mmap | None = None
    ) -> None:
        self._seconds = 1 / per_second if per_second > 0 else 0.0  # for one request
        self._burst = max(1.0, self._seconds)  # seconds that a bucket takes to fill
        self._clock = clock
        if self._seconds:
            memory = memoryview(bytearray(_BYTES) if slots is None else slots)
            self._keys, self._full_at = memory[: _BYTES // 2].cast("Q"), memory[_BYTES // 2 :].cast("d")

    def take(self, key: UUID) -> float:
        """0 where the request may pass, else the seconds until one may."""
        if not self._seconds:
            return 0.0
        now, slot = self._clock(), self._slot_of(key)
        full_at = max(self._full_at[slot], now) + self._seconds
        wait = full_at - self._burst - now
        if wait > _ROUNDING:
            return wait
        self._full_at[slot] = full_at
        return 0.0

    def give_back(self, key: UUID) -> None:
        """What was taken for a request that takes once more."""
        if self._seconds:
            self._full_at[self._slot_of(key)] -= self._seconds

    def _slot_of(self, key: UUID) -> int:
        name = key.int & _LOW_BITS or 1  # the random half of the id
        looked = [(name + n) % SLOTS for n in range(_LOOKS)]
        for slot in looked:
            if self._keys[slot] == name:
                return slot
        slot = min(looked, key=self._full_at.__getitem__)  # free ones have 0
        self._keys[slot], self._full_at[slot] = name, 0.0
        return slot
