"""Limits of keys and queues: a task that has one is granted before it is published, by the leader.

`task.limited` says where such a task stands:

    waiting   queued, but not published: it waits for a grant
    granted   queued and published, or running: it counts against its key and its queue
    freed     it has given its grant back
    NULL      nothing limits it

The consequences of a move (`consequences.py`) keep that column, and note in `limit_mark` which keys have to be looked
at again: one that something waits for, or that something was given back to. The leader takes the marks and grants
what there is room for. What is held is counted from the tasks themselves, so that no counter can be wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from ..domain.limits import Granted, QueueStanding, Standing, Waiting, grant, of_key, of_queue
from ..domain.tasks import Event
from . import limit_sql as sql
from .committed import Committed, together
from .composer import Verb, along
from .consequences import compose

# What one turn takes: marks, tasks of one key or queue, and keys of one queue that it looks at.
MARKS, PAGE, KEYS = 1000, 200, 1000
# Until further keys of a queue are looked at where those before have no room.
_NEXT_KEYS_SECONDS = 0.25
_QUEUES_SECONDS = 1.0

_GRANT = compose(
    Verb(
        name="grant",
        edges=along(Event.GRANT),
        given="""
chosen AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:queues AS text[])) c(id, queue))""",
        # Not where a person has given it another queue since it was looked at.
        source="task t JOIN chosen c ON c.id = t.id AND c.queue = t.queue",
        where="t.limited = 'waiting'",
        sets={"limited": "'granted'"},
    )
)
_HOLD_BACK = compose(
    Verb(
        name="hold_back",
        edges=along(Event.HOLD_BACK),
        where="t.id = ANY(:ids) AND t.limited IS DISTINCT FROM 'waiting'",
        # Also where the limit has just been removed: the leader then grants it at once.
        sets={"limited": "'waiting'"},
    )
)


class Turn(NamedTuple):
    """`granted` tasks; the next turn is due in so many seconds, if nothing wakes the leader before."""

    granted: int
    due_in: float


def hold_back(conn: Connection, ids: Sequence[UUID]) -> Committed[int]:
    """Queued tasks wait for a grant, once more where they had one; answers how many. Their messages win no claim."""
    rows = conn.execute(_HOLD_BACK, {"ids": list(ids)}).all()
    return Committed.of_rows(rows, len(rows))


def changed(conn: Connection, queue: str) -> Committed[None]:
    """What waits in the queue is looked at anew: its limit was set or removed, it was paused or resumed."""
    conn.execute(sql.MARK_QUEUE, {"queue": queue})
    held = hold_back(conn, conn.scalars(sql.APART, {"queue": queue}).all())
    return together([held, Committed(None, wakes_scheduler=True)], None)


class Granting:
    """The leader's part. It remembers which key of each queue had the last turn, and nothing else."""

    def __init__(self) -> None:
        self._lasts: dict[str, str] = {}

    def begin(self, conn: Connection) -> None:
        """At the beginning of a term everything that waits is looked at, behind what is marked meanwhile."""
        self._lasts.clear()
        conn.execute(sql.MARK_ALL)

    def turn(self, conn: Connection) -> Committed[Turn]:
        """Grants what the marked limits have room for. In a transaction of the leader's."""
        look = conn.execute(sql.LOOK).one()
        if not look.queues and (look.due_in is None or look.due_in > 0):
            return Committed(Turn(0, _seconds(look.due_in)))
        marks = conn.scalars(sql.TAKE_MARKS, {"limit": MARKS}).all()
        names = dict.fromkeys([*marks, *map(of_queue, look.queues)])
        marked = [name.removeprefix("queue:") for name in names if name.startswith("queue:")]
        queues = _queues(conn, marked)
        taken_back = _take_back(conn, queues)
        of_queues, again = self._of_queues(conn, {name: queues[name] for name in marked})
        of_keys = _of_keys(conn, [name.removeprefix("task:") for name in names if name.startswith("task:")], queues)
        waiting = list({task.id: task for task in (*of_queues, *of_keys)}.values())
        for task in waiting:
            queues.setdefault(task.queue, QueueStanding())
        given = grant(waiting, _keys(conn, waiting), queues)
        rows = conn.execute(_GRANT, _chosen(given)).all() if given.tasks else []
        # What its queue filled up before has perhaps others of its key behind it, in other queues.
        again |= {
            of_key(task.key): 0.0 for task in of_keys if task not in given.tasks and not queues[task.queue].room(1)
        }
        _note(conn, given, again | self._more(queues, given))
        is_cut = len(marks) == MARKS or taken_back.answer > 0
        due_in = 0.0 if is_cut else _seconds(conn.scalar(sql.NEXT))
        # What runs since before its queue had a limit wakes nobody when it ends.
        turn = Turn(len(rows), min(due_in, _QUEUES_SECONDS) if look.queues else due_in)
        return together([taken_back, Committed.of_rows(rows, None)], turn)

    def _of_queues(
        self, conn: Connection, queues: Mapping[str, QueueStanding]
    ) -> tuple[list[Waiting], dict[str, float]]:
        """Of the queues that have room, tasks of keys that have room, in the order of the keys' turns; and the queues
        of which only a part was looked at."""
        asked = {name: room for name, queue in queues.items() if (room := queue.room(PAGE)) > 0}
        ready: dict[str, dict[str, None]] = {}
        again: dict[str, float] = {}
        # Behind the key that had the last turn, and then from the beginning.
        for firsts in (self._lasts, {}):
            names = [name for name in asked if firsts is self._lasts or name in self._lasts]
            values = {"queues": names, "firsts": [firsts.get(name, "") for name in names], "heads": KEYS}
            rows = conn.execute(sql.HEADS, values).all() if names else []
            for row in rows:
                if row.is_ready and not (row.key == firsts.get(row.queue) and firsts):
                    ready.setdefault(row.queue, {})[row.key] = None
            last_seen = {row.queue: row.key for row in rows}
            for queue, heads in Counter(row.queue for row in rows).items():
                if heads >= KEYS and queue not in ready:
                    self._lasts[queue] = last_seen[queue]
                    again[of_queue(queue)] = _NEXT_KEYS_SECONDS
        pairs = [(queue, key) for queue, keys in ready.items() for key in keys]
        values = {
            "queues": [queue for queue, _ in pairs],
            "keys": [key for _, key in pairs],
            "pages": [math.ceil(asked[queue] / len(ready[queue])) for queue, _ in pairs],
        }
        return ([_waiting(row) for row in conn.execute(sql.OF_HEADS, values)] if pairs else []), again

    def _more(self, queues: Mapping[str, QueueStanding], given: Granted) -> dict[str, float]:
        """The limits that have to be looked at again because this turn saw a part of what waits, and in how many
        seconds."""
        granted = Counter(of_key(t.key) for t in given.tasks if t.key) + Counter(of_queue(t.queue) for t in given.tasks)
        again = {name: 0.0 for name, tasks in granted.items() if tasks >= PAGE} | given.again
        for queue, key in given.last_keys.items():
            if queues[queue].is_limited:
                self._lasts[queue] = key
                if queues[queue].room(1):  # of each key it saw a part
                    again.setdefault(of_queue(queue), 0.0)
        return again


def _queues(conn: Connection, names: Collection[str]) -> dict[str, QueueStanding]:
    """Of these queues, and of all that may have no room."""
    found = {name: QueueStanding() for name in names}
    for row in conn.execute(sql.QUEUES, {"names": list(names), "most": PAGE}):
        found[row.name] = QueueStanding(
            row.held, _last(row.last), concurrent=row.concurrent, per_second=row.per_second, paused=row.paused
        )
    return found


def _take_back(conn: Connection, queues: Mapping[str, QueueStanding]) -> Committed[int]:
    """Grants that no worker has claimed, of queues that are paused or whose limit was lowered."""
    counts = {name: count for name, queue in queues.items() if (count := queue.surplus(PAGE)) > 0}
    if not counts:
        return Committed(0)
    ids = conn.scalars(sql.SURPLUS, {"queues": list(counts), "counts": list(counts.values())}).all()
    return hold_back(conn, ids) if ids else Committed(0)


def _of_keys(conn: Connection, keys: Sequence[str], queues: Mapping[str, QueueStanding]) -> list[Waiting]:
    if not keys:
        return []
    closed = [name for name, queue in queues.items() if not queue.room(1)]
    rows = conn.execute(sql.OF_KEYS, {"keys": list(keys), "closed": closed, "page": PAGE})
    return [_waiting(row) for row in rows]


def _waiting(row: Any) -> Waiting:
    limits = row.limits or {}
    return Waiting(row.id, row.queue, limits.get("key", ""), limits.get("concurrent"), limits.get("per_second"))


def _keys(conn: Connection, waiting: Sequence[Waiting]) -> dict[str, Standing]:
    """What is held is counted as far as any of these tasks needs to know."""
    mosts: dict[str, int] = {}
    for task in waiting:
        if task.key:
            mosts[task.key] = max(mosts.get(task.key, 0), task.concurrent or 0)
    if not mosts:
        return {}
    rows = conn.execute(sql.KEYS, {"keys": list(mosts), "mosts": list(mosts.values())})
    return {row.key: Standing(row.held, _last(row.last)) for row in rows}


def _chosen(given: Granted) -> dict[str, list[Any]]:
    return {"ids": [task.id for task in given.tasks], "queues": [task.queue for task in given.tasks]}


def _note(conn: Connection, given: Granted, again: Mapping[str, float]) -> None:
    if given.lasts:
        conn.execute(sql.PACE, {"names": list(given.lasts), "seconds": list(given.lasts.values())})
    if again:
        conn.execute(sql.MARK, {"keys": list(again), "seconds": list(again.values())})


def _last(seconds: float | None) -> float:
    return -math.inf if seconds is None else seconds


def _seconds(due_in: float | None) -> float:
    return math.inf if due_in is None else due_in
