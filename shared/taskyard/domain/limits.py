"""Which of the tasks that wait for a limit may go: by what their keys and queues have room for, the keys in turn.

A limit's name is `task:KEY` or `queue:NAME`. A task goes only where its key and its queue both have room.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

# So much of a rate that was not used is caught up with. A turn of the leader takes up to that long.
BURST_SECONDS = 0.1


def of_key(key: str) -> str:
    """The name of a key's limit."""
    return f"task:{key}"


def of_queue(queue: str) -> str:
    """The name of a queue's limit."""
    return f"queue:{queue}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits, with its own limit. `key` "": it has none, and waits for its queue."""

    id: UUID
    queue: str
    key: str = ""
    concurrent: int | None = None
    per_second: float | None = None


@dataclass(slots=True)
class Standing:
    """What a limit has given out: `held` grants, the last one `last` seconds from now, which is below 0. The last time
    counts, and not when the next one may go, so that another rate holds at once."""

    held: int = 0
    last: float = -math.inf

    def has_room(self, concurrent: int | None) -> bool:
        return concurrent is None or self.held < concurrent

    def free_in(self, per_second: float | None) -> float:
        """The seconds until the rate allows another one; 0 or less: it does."""
        return -math.inf if per_second is None else self.last + 1.0 / per_second

    def take(self, per_second: float | None) -> None:
        self.held += 1
        if per_second is not None:
            self.last = max(self.free_in(per_second), -BURST_SECONDS)


@dataclass(slots=True)
class QueueStanding(Standing):
    """`concurrent` and `per_second`: the queue's limit, None: there is none. `held` counts what runs, too."""

    concurrent: int | None = None
    per_second: float | None = None
    paused: bool = False

    @property
    def is_limited(self) -> bool:
        return self.concurrent is not None or self.per_second is not None

    def room(self, most: int) -> int:
        """For how many more there is room at this moment."""
        if self.paused:
            return 0
        if self.per_second is not None:
            unused = min(BURST_SECONDS, -self.free_in(self.per_second))
            most = 0 if unused < 0 else min(most, 1 + math.floor(unused * self.per_second))
        return most if self.concurrent is None else max(0, min(most, self.concurrent - self.held))

    def surplus(self, most: int) -> int:
        """How many grants have to be taken back: it was paused, or its limit was lowered."""
        if self.paused:
            return most
        return 0 if self.concurrent is None else max(0, min(most, self.held - self.concurrent))


@dataclass(slots=True)
class Granted:
    """`tasks`: those that go. `lasts`: of the limits with a rate that gave something out, when they did (seconds from
    now). `again`: the limits of keys whose rate alone held something back, and the seconds from now until it may go."""

    tasks: list[Waiting] = field(default_factory=list)
    lasts: dict[str, float] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)


def grant(waiting: Iterable[Waiting], keys: Mapping[str, Standing], queues: Mapping[str, QueueStanding]) -> Granted:
    """`waiting` in the order of their keys' turns, each key's oldest first; none goes before an older one of its key in
    its queue. `keys` and `queues` have the standing of each that occurs, and are changed."""
    given = Granted()
    closed: set[tuple[str, str]] = set()
    for task in _in_turns(waiting):
        queue, key = queues[task.queue], keys[task.key] if task.key else Standing()
        concurrent, per_second = (task.concurrent, task.per_second) if task.key else (None, None)
        if (task.queue, task.key) in closed or queue.paused or not queue.has_room(queue.concurrent):
            continue
        if queue.free_in(queue.per_second) > 0:
            continue
        if not key.has_room(concurrent):
            closed.add((task.queue, task.key))
        elif (free_in := key.free_in(per_second)) > 0:
            closed.add((task.queue, task.key))
            given.again[of_key(task.key)] = free_in
        else:
            given.tasks.append(task)
            queue.take(queue.per_second)
            key.take(per_second)
            if queue.per_second is not None:
                given.lasts[of_queue(task.queue)] = queue.last
            if per_second is not None:
                given.lasts[of_key(task.key)] = key.last
    return given


def _in_turns(waiting: Iterable[Waiting]) -> list[Waiting]:
    """Each key's first before any key's second."""
    turns: dict[tuple[str, str], int] = {}
    ranked = []
    for task in waiting:
        place = task.queue, task.key
        turns[place] = turns.get(place, 0) + 1
        ranked.append((turns[place], task))
    return [task for _, task in sorted(ranked, key=lambda r: r[0])]
