"""The memory that all confined processes of a worker's process may have together (`taskyard_kits.confined`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from taskyard_kits.confined import Check

MIB = 1024**2
# What they may have where nothing limits the memory of the worker's process: enough for a WebP of 64 megapixels, of all
# common images the one that needs most.
UNLIMITED_BYTES = 1200 * MIB
# Of a process whose memory is limited, this is its own: 95 MiB were seen.
WORKER_BYTES = 128 * MIB
_LOOK_SECONDS = 0.2


class NotAsMuch(Exception):
    """There is less memory in all than what is asked for."""


class Memory:
    """So many bytes for all confined processes of a process."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def share(self, most: int, check: Check) -> Iterator[int]:
        """So many bytes for the block: `most`, or all that there is."""
        size = min(most, self.total)
        with self.turn(check):
            self.take(size, check)
        try:
            yield size
        finally:
            self.give_back(size)

    @contextmanager
    def turn(self, check: Check) -> Iterator[None]:
        """One thread at a time takes, as often as it has to. So whoever waits for memory waits for processes that have
        all they need."""
        while not self._turn.acquire(timeout=_LOOK_SECONDS):
            check()
        try:
            yield
        finally:
            self._turn.release()

    def take(self, size: int, check: Check, *, beside: int = 0) -> int:
        """In one's turn; `beside`: what one has already. Raises NotAsMuch where there is less in all."""
        if beside + size > self.total:
            raise NotAsMuch
        with self._changed:
            while self._free < size:
                self._changed.wait(_LOOK_SECONDS)
                check()
            self._free -= size
        return size

    def give_back(self, size: int) -> None:
        with self._changed:
            self._free += size
            self._changed.notify_all()


def memory_of(process_bytes: int | None) -> Memory:
    """The one of this process, which may have `process_bytes` of memory in all (None: as much as there is)."""
    with _making:
        return _memory(UNLIMITED_BYTES if process_bytes is None else max(0, process_bytes - WORKER_BYTES))


_making = threading.Lock()  # two threads that asked at once would get one each
_memory = cache(Memory)
