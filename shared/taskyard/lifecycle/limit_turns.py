"""Whose turn it is in a queue in which limits are waited for: the keys that may have room, in a row.

A key joins the end of its queue's row when it is marked, and the walk over the keys that wait brings all of them: at
the beginning of a term, and when the queue was marked. A key that is looked at and has no room leaves: what makes room
in it marks it again, and where a rate holds it back the mark is noted with its time. A key that got a grant goes to the
end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from . import limit_sql as sql

# What one turn looks at, in all queues together: keys, and tasks.
KEYS, TASKS = 1000, 4000
# Of one queue. Where more keys have room, the walk waits for a place, and what found none is found by the next walk.
_LONGEST_ROW = 20_000
# What has no key has no mark either.
_NO_KEY = ""


@dataclass(frozen=True, slots=True)
class Look:
    """`tasks`: of keys that are ready, in the order of their turns. `free_in`: of the keys that their rates hold back,
    the seconds until they are free."""

    tasks: list[Any]
    free_in: dict[str, float]


@dataclass(slots=True)
class _Row:
    """`after`: behind which key the walk goes on; None: it is over. `is_long`: more keys than have a place may have
    room. Then only the walk brings keys, round and round until none is missing."""

    keys: dict[str, None] = field(default_factory=dict)
    after: str | None = _NO_KEY
    is_long: bool = False
    is_missing: bool = False

    @property
    def room(self) -> int:
        return _LONGEST_ROW - len(self.keys)

    def join(self, key: str) -> None:
        if key in self.keys:
            return
        if self.room <= 0 and not self.is_long:
            self.is_long = True
            self.walk()
        if self.is_long:
            self.is_missing = True
        else:
            self.keys[key] = None

    def served(self, key: str) -> None:
        """It goes to the end, or leaves its place to those that the walk has not come to."""
        if key in self.keys:
            del self.keys[key]
            self.join(key)

    def walk(self) -> None:
        if self.after is None:
            self.after = _NO_KEY

    def walked(self, keys: Sequence[str], *, is_last: bool) -> None:
        """On to these keys, or as many of them as have a place."""
        placed = keys[: self.room]
        self.keys.update(dict.fromkeys(placed))
        if len(placed) < len(keys):
            self.is_long = self.is_missing = True
        if not is_last or len(placed) < len(keys):
            self.after = placed[-1]
        elif self.is_missing:
            self.after, self.is_missing = _NO_KEY, False
        else:
            self.after, self.is_long = None, False


class Turns:
    """In memory: a leader that takes over walks once over all that waits."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._last_served = ""

    def begin(self) -> None:
        self._rows.clear()

    def doubt(self) -> None:
        """What was changed here goes with a transaction that was undone: all is walked again."""
        self._rows = {queue: _Row() for queue in self._rows}

    @property
    def unfinished(self) -> list[str]:
        """Queues with keys that have not been looked at."""
        return [queue for queue, row in self._rows.items() if row.after is not None or row.keys.keys() - {_NO_KEY}]

    def walk(self, queues: Collection[str]) -> None:
        for queue in queues:
            self._rows.setdefault(queue, _Row()).walk()

    def join(self, queues: Collection[str], keys: Collection[str]) -> None:
        for queue in queues:
            row = self._rows.setdefault(queue, _Row())
            for key in keys:
                row.join(key)

    def served(self, queue: str, key: str) -> None:
        """It got a grant."""
        self._last_served = queue
        if (row := self._rows.get(queue)) is not None:
            row.served(key)

    def look(self, conn: Connection, rooms: Mapping[str, int]) -> Look:
        """At some keys of each queue that has room for so many tasks."""
        if not rooms:
            return Look([], {})
        # A key may wait in several: the one that is behind the last to get a grant comes first.
        queues = sorted(rooms, key=lambda queue: (queue <= self._last_served, queue))
        share = max(1, KEYS // len(queues))
        self._walk_on(conn, queues, share)
        pairs = [(queue, key) for queue in queues for key in islice(self._rows[queue].keys, share)]
        heads = {(row.queue, row.key): row for row in conn.execute(sql.HEADS, _columns(pairs))}
        ready: dict[str, list[str]] = {}
        held_back: dict[str, float] = {}
        for queue, key in pairs:
            head = heads.get((queue, key))
            free_in = head.free_in or 0.0 if head is not None else 0.0
            if head is not None and head.has_room and free_in <= 0:
                ready.setdefault(queue, []).append(key)
                continue
            del self._rows[queue].keys[key]
            if head is not None and head.has_room:
                held_back[key] = free_in
        return Look(_tasks(conn, ready, rooms), held_back)

    def _walk_on(self, conn: Connection, queues: Sequence[str], share: int) -> None:
        walking = {}
        for queue in queues:
            row = self._rows.setdefault(queue, _Row())
            row.keys.setdefault(_NO_KEY)
            if row.after is not None and row.room > 0:
                walking[queue] = row.after
        if not walking:
            return
        found: dict[str, list[str]] = {queue: [] for queue in walking}
        values = {"queues": list(walking), "afters": list(walking.values()), "keys": share}
        for queue, key in conn.execute(sql.KEYS_OF_QUEUES, values):
            found[queue].append(key)
        for queue, keys in found.items():
            self._rows[queue].walked(keys, is_last=len(keys) < share)


def _tasks(conn: Connection, ready: Mapping[str, Sequence[str]], rooms: Mapping[str, int]) -> list[Any]:
    """Together at least as many as their queues have room for, if so many wait, within what a turn may take."""
    pairs = [(queue, key) for queue, keys in ready.items() for key in keys]
    if not pairs:
        return []
    most = max(2, TASKS // len(pairs))
    pages = [min(most, math.ceil(rooms[queue] / len(ready[queue])) + 1) for queue, _ in pairs]
    return list(conn.execute(sql.OF_HEADS, {**_columns(pairs), "pages": pages}))


def _columns(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    return {"queues": [queue for queue, _ in pairs], "keys": [key for _, key in pairs]}
