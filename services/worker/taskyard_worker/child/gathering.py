"""When the writer writes: at once where little is to be done, and several ends together where much is."""

from __future__ import annotations

import threading

# A commit for many costs little more than one for a few, and while claimed tasks wait for a thread the processor has
# enough to do.
_SECONDS = 0.01
# Ends that are worth a commit of their own.
ENOUGH = 64


class Gathering:
    """`set` is for every thread, `wait` for the writer's."""

    def __init__(self) -> None:
        self._some = threading.Event()
        self._enough = threading.Event()

    def set(self, *, hurries: bool = False) -> None:
        """There is something to write. `hurries`: it waits for nothing else."""
        if hurries:
            self._enough.set()
        if not self._some.is_set():  # a look is cheaper than a lock, and nearly always enough
            self._some.set()

    def wait(self, seconds: float) -> None:
        """Waits for something to write, for so long at most, and then for more of it."""
        if self._some.wait(seconds):
            self._enough.wait(_SECONDS)
        self._some.clear()
        self._enough.clear()
