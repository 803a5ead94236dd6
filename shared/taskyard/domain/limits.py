"""Which of the tasks that wait for a limit may go: by what their keys and queues have room for, the keys in turn.

A limit's name is `task:KEY` or `queue:NAME`. A task goes only where its key and its queue both have room.
"""

from __future__ import annotations

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
    """What a limit has given out: `held` grants, and how many seconds from now its rate allows the next one (below 0:
    since then)."""

    held: int = 0
    free_in: float = -BURST_SECONDS

    def has_room(self, concurrent: int | None) -> bool:
        return concurrent is None or self.held < concurrent

    def take(self, per_second: float | None) -> None:
        self.held += 1
        if per_second is not None:
            self.free_in = max(self.free_in, -BURST_SECONDS) + 1.0 / per_second


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
        if self.paused or (self.per_second is not None and self.free_in > 0):
            return 0
        return most if self.concurrent is None else max(0, min(most, self.concurrent - self.held))


@dataclass(slots=True)
class Granted:
    """`ids`: those that go. `paces`: the limits with a rate that gave something out, with the seconds from now until
    they may again. `again`: the limits whose rate alone held something back, with the same."""

    ids: list[UUID] = field(default_factory=list)
    last_keys: dict[str, str] = field(default_factory=dict)
    """Of each queue the key that got the last grant: the next one's turn is next."""
    paces: dict[str, float] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)


def grant(waiting: Iterable[Waiting], keys: Mapping[str, Standing], queues: Mapping[str, QueueStanding]) -> Granted:
    """`waiting` in the order of their keys' turns, each key's oldest first. `keys` and `queues` have the standing of
    each that occurs, and are changed."""
    given = Granted()
    for task in _in_turns(waiting):
        queue = queues[task.queue]
        key = keys[task.key] if task.key else None
        if queue.paused or not queue.has_room(queue.concurrent):
            continue
        if key is not None and not key.has_room(task.concurrent):
            continue
        if queue.per_second is not None and queue.free_in > 0:
            given.again[of_queue(task.queue)] = queue.free_in
            continue
        if key is not None and task.per_second is not None and key.free_in > 0:
            given.again[of_key(task.key)] = key.free_in
            continue
        given.ids.append(task.id)
        given.last_keys[task.queue] = task.key
        queue.take(queue.per_second)
        if queue.per_second is not None:
            given.paces[of_queue(task.queue)] = queue.free_in
        if key is not None:
            key.take(task.per_second)
            if task.per_second is not None:
                given.paces[of_key(task.key)] = key.free_in
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
