"""Limits of keys and queues: a task that has one is granted before it is published, by the leader.

`task.limited` says where such a task stands:

    waiting   queued, but not published: it waits for a grant
    granted   queued and published, or running: it counts against its key and its queue
    freed     it has left its place
    NULL      nothing limits it

The consequences of a move (`consequences.py`) keep that column, and note in `limit_mark` which keys have to be looked
at again: one that something waits for, or in which something made room. The leader takes the marks and grants what
there is room for. What is held is counted from the tasks themselves, so that no counter can be wrong.

Two ways lead to a task that may go. A marked key is looked at in each of its queues that is open and has no limit. In a
queue that has one its key joins a row, and the keys of the row have their turns (`limit_turns.py`); so it is, too, in a
queue that was resumed.

What was published before its queue had a limit is walked over, and waits as well (`limit_backlog.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from ..domain.limits import BURST_SECONDS, Granted, QueueStanding, Standing, Waiting, grant, of_key, of_queue
from ..domain.tasks import Event, Publication
from . import limit_sql as sql
from .committed import Committed, together
from .composer import Verb, along
from .consequences import compose
from .limit_backlog import Backlog
from .limit_turns import TASKS, Turns

# What one turn takes: limits that are marked, and tasks of one queue.
MARKS, PAGE = 500, 200
# While something waits. What runs since before its queue had a limit wakes nobody when it ends; nor does what is
# released into a queue that was paused meanwhile.
_LONGEST_SECONDS = 1.0

_GRANT = compose(
    Verb(
        name="grant",
        edges=along(Event.GRANT),
        given="""
chosen AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:queues AS text[]), CAST(:keys AS text[])) c(id, queue, key)
)""",
        # Not where it was given another queue, or another key by an erasure, since it was looked at.
        source="task t JOIN chosen c ON c.id = t.id AND c.queue = t.queue AND c.key = coalesce(t.limits ->> 'key', '')",
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


def _withdraw(conn: Connection, ids: Sequence[UUID]) -> Committed[int]:
    """The same, and their messages are removed from Redis: a worker that fetches them would do so for nothing."""
    if not ids:
        return Committed(0)
    rows = conn.execute(_HOLD_BACK, {"ids": list(ids)}).all()
    gone = [Publication(row.id, row.queue, row.publication) for row in rows]
    return together([Committed.of_rows(rows, None), Committed(None, withdrawn=gone)], len(rows))


def changed(conn: Connection, queue: str) -> Committed[None]:
    """What waits in the queue is looked at anew: its limit was set or removed, it was paused or resumed."""
    conn.execute(sql.MARK_NEWLY, {"key": of_queue(queue)})
    held = hold_back(conn, conn.scalars(sql.APART, {"queue": queue}).all())
    return together([held, Committed(None, wakes_scheduler=True)], None)


class Granting:
    """The leader's part."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._backlog = Backlog()
        self._is_kept = True

    def begin(self, conn: Connection) -> None:
        """At the beginning of a term every queue in which something waits is walked."""
        self._turns.begin()
        conn.execute(sql.MARK_QUEUES)

    def kept(self) -> None:
        """The transaction of the last turn was committed."""
        self._is_kept = True

    def turn(self, conn: Connection) -> Committed[Turn]:
        """Grants what has room. In a transaction of the leader's; once that is committed, call `kept`."""
        if not self._is_kept:
            self._turns.doubt()
            self._backlog.doubt()
        self._is_kept = False
        look = conn.execute(sql.LOOK).one()
        unfinished = [*self._turns.unfinished, *self._backlog.unfinished]
        if not (look.queues or unfinished) and (look.due_in is None or look.due_in > 0):
            return Committed(Turn(0, min(_seconds(look.due_in), _LONGEST_SECONDS if look.waits else math.inf)))
        conn.execute(sql.ALONE)
        marks = conn.scalars(sql.TAKE_MARKS, {"limit": MARKS}).all()
        keys = [mark.removeprefix("task:") for mark in marks if mark.startswith("task:")]
        marked = [mark.removeprefix("queue:") for mark in marks if mark.startswith("queue:")]
        names = list(dict.fromkeys([*look.queues, *unfinished, *marked]))
        queues = _queues(conn, names)
        self._backlog.walk(marked)
        published = self._backlog.published(conn, [name for name, queue in queues.items() if queue.is_limited])
        taken_back = together([_take_back(conn, queues), _withdraw(conn, published)], None)
        in_rows = [name for name, queue in queues.items() if queue.is_limited or queue.paused]
        self._turns.walk(marked)
        self._turns.join([name for name in in_rows if queues[name].is_limited], keys)
        waiting, again = self._waiting(conn, names, keys, in_rows, queues)
        given = grant(waiting, _keys(conn, waiting), queues)
        rows = conn.execute(_GRANT, _chosen(given)).all() if given.tasks else []
        _note(conn, given, again | self._more(waiting, given, in_rows))
        has_more = len(marks) == MARKS or taken_back.withdrawn or self._backlog.unfinished
        due_in = 0.0 if has_more else _seconds(conn.scalar(sql.NEXT))
        due_in = min(due_in, self._due_in(look.queues, given, queues))
        granted = Committed.of_rows(rows, None)
        # Not behind the messages that have yet to be withdrawn.
        first = {*self._backlog.unfinished, *(p.queue for p in taken_back.withdrawn)}
        for publication in granted.publications:
            publication.is_first = publication.queue in first
        return together([taken_back, granted], Turn(len(rows), due_in))

    def _waiting(
        self,
        conn: Connection,
        names: Sequence[str],
        keys: Sequence[str],
        in_rows: Sequence[str],
        queues: dict[str, QueueStanding],
    ) -> tuple[list[Waiting], dict[str, float]]:
        """What may go: of the queues in the order of their keys' turns, then of the marked keys; and the keys that
        their rates hold back. Standings are added for queues that have no limit."""
        look = self._turns.look(conn, {name: room for name in names if (room := queues[name].room(PAGE)) > 0})
        rows = look.tasks
        if keys:
            page = max(2, TASKS // len(keys))
            values = {"keys": keys, "without": in_rows, "page": page, "burst_seconds": BURST_SECONDS}
            rows += conn.execute(sql.OF_KEYS, values)
        waiting = list({row.id: _waiting(row) for row in rows}.values())
        for task in waiting:
            queues.setdefault(task.queue, QueueStanding())
        return waiting, {of_key(key): seconds for key, seconds in look.free_in.items()}

    def _more(self, waiting: Sequence[Waiting], given: Granted, in_rows: Sequence[str]) -> dict[str, float]:
        """The keys that have to be looked at again: their time comes, or this turn saw a part of what waits."""
        again = dict(given.again)
        granted = {task.id for task in given.tasks}
        for task in {(task.queue, task.key): task for task in waiting}.values():
            if task.key and task.id in granted and task.queue not in in_rows:
                again[of_key(task.key)] = 0.0
        for task in given.tasks:
            self._turns.served(task.queue, task.key)
        return again

    def _due_in(self, looked_at: Sequence[str], given: Granted, queues: Mapping[str, QueueStanding]) -> float:
        """At once where a queue with room has more that was not looked at, or at the time of a queue's rate."""
        more = {*self._turns.unfinished, *(task.queue for task in given.tasks if not task.key)}
        if any(queues[name].room(1) for name in more if name in queues):
            return 0.0
        times = (queues[name].free_in(queues[name].per_second) for name in looked_at if not queues[name].paused)
        return min([_LONGEST_SECONDS, *(time for time in times if time > 0)])


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
    return _withdraw(conn, conn.scalars(sql.SURPLUS, {"queues": list(counts), "counts": list(counts.values())}).all())


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
    return {
        "ids": [task.id for task in given.tasks],
        "queues": [task.queue for task in given.tasks],
        "keys": [task.key for task in given.tasks],
    }


def _note(conn: Connection, given: Granted, again: Mapping[str, float]) -> None:
    if given.lasts:
        conn.execute(sql.PACE, {"names": list(given.lasts), "seconds": list(given.lasts.values())})
    if again:
        conn.execute(sql.MARK, {"keys": list(again), "seconds": list(again.values())})


def _last(seconds: float | None) -> float:
    return -math.inf if seconds is None else seconds


def _seconds(due_in: float | None) -> float:
    return math.inf if due_in is None else due_in
