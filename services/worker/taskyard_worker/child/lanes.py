"""The lanes: in which order a child asks its queues.

They are asked in the order in which they are named, so that nothing waits behind a task of a lower queue. A lower one
does not starve: each task that is taken above it earns it a share of a task, and it is asked first for what it has
earned. What it does not need it does not keep.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


class Lanes:
    """`share`: so many tasks of a lower queue for each that is taken above it, while both have work."""

    def __init__(self, queues: Sequence[str], share: float) -> None:
        self.queues = tuple(queues)
        self._share = share
        self._earned = dict.fromkeys(self.queues, 0.0)

    def turns(self, queues: Collection[str], room: int) -> list[tuple[str, int]]:
        """Whom of `queues` to ask, and for how many tasks at most: first those that have earned some."""
        asked = [queue for queue in self.queues if queue in queues]
        earned = [(queue, int(self._earned[queue])) for queue in asked]
        return [(queue, most) for queue, most in earned if most] + [(queue, room) for queue in asked]

    def took(self, queue: str, tasks: int, waiting: Collection[str]) -> None:
        """Of `waiting` it is not known that they are empty."""
        self._earned[queue] = max(0.0, self._earned[queue] - tasks)
        for lower in self.queues[self.queues.index(queue) + 1 :]:
            if lower in waiting:
                # Rounded: ten times 0.1 has to be one task.
                self._earned[lower] = round(self._earned[lower] + tasks * self._share, 6)

    def is_empty(self, queue: str) -> None:
        self._earned[queue] = 0.0
