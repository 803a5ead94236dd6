# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
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

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.limits import BURST_SECONDS, Granted, QueueStanding, Standing, Waiting, grant, of_key, of_queue
from ..domain.tasks import Event
from .committed import Committed
from .composer import Verb, along
from .consequences import compose

# Marks that one turn takes, tasks of one key or queue and keys of one queue that it looks at.
MARKS, PAGE, KEYS = 1000, 200, 200
# Until further keys of a queue are looked at where those before are full.
_NEXT_KEYS_SECONDS = 0.5
_QUEUES_SECONDS = 1.0

_GRANT = compose(
    Verb(
        name="grant",
        edges=along(Event.GRANT),
        where="t.id = ANY(:ids) AND t.limited = 'waiting'",
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

_TAKE_MARKS = sa.text("""
DELETE FROM limit_mark WHERE id = ANY(ARRAY(
    SELECT id FROM limit_mark WHERE due_at <= now() ORDER BY due_at, id LIMIT :limit)) RETURNING key
""")
_MARK = sa.text("""
INSERT INTO limit_mark (key, due_at) SELECT k.key, now() + k.seconds * interval '1 second'
FROM unnest(CAST(:keys AS text[]), CAST(:seconds AS float8[])) k(key, seconds)
""")
_NEXT = sa.text("SELECT CAST(extract(epoch FROM min(due_at) - now()) AS float8) FROM limit_mark")
# What there is to do, in one look: the first mark's time and the queues with a limit in which something waits.
_LOOK = sa.text("""
SELECT CAST(extract(epoch FROM (SELECT min(due_at) FROM limit_mark) - now()) AS float8) AS due_in, ARRAY(
    SELECT name FROM queue q WHERE (q.concurrent IS NOT NULL OR q.per_second IS NOT NULL)
        AND EXISTS (SELECT FROM task t WHERE t.queue = q.name AND t.limited = 'waiting')) AS queues
""")

_KEY = "coalesce(limits ->> 'key', '')"
_TASK = "id, queue, limits"
# As many as the oldest one's limit has room for.
_OF_KEYS = sa.text(f"""
SELECT t.* FROM unnest(CAST(:keys AS text[])) k(key) CROSS JOIN LATERAL (
    SELECT CAST(limits ->> 'concurrent' AS int8) AS concurrent FROM task
    WHERE {_KEY} = k.key AND limited = 'waiting' ORDER BY id LIMIT 1
) f CROSS JOIN LATERAL (
    SELECT count(*) AS held FROM task WHERE {_KEY} = k.key AND limited = 'granted'
) h CROSS JOIN LATERAL (
    SELECT {_TASK} FROM task WHERE {_KEY} = k.key AND limited = 'waiting' ORDER BY id
    LIMIT greatest(0, least(:page, coalesce(f.concurrent - h.held, :page)))
) t
""")
# A walk from key to key, beginning with the one whose turn it is.
_OF_QUEUES = sa.text(f"""
SELECT t.* FROM unnest(CAST(:queues AS text[]), CAST(:firsts AS text[]), CAST(:pages AS int8[])) q(name, first, page)
CROSS JOIN LATERAL (
    WITH RECURSIVE head(key) AS (
        (SELECT {_KEY} FROM task WHERE queue = q.name AND limited = 'waiting' AND {_KEY} >= q.first
            ORDER BY {_KEY} LIMIT 1)
        UNION ALL
        SELECT (SELECT {_KEY} FROM task WHERE queue = q.name AND limited = 'waiting' AND {_KEY} > h.key
            ORDER BY {_KEY} LIMIT 1)
        FROM head h WHERE h.key IS NOT NULL
    )
    SELECT key FROM head WHERE key IS NOT NULL LIMIT :heads
) h CROSS JOIN LATERAL (
    SELECT {_TASK} FROM task WHERE queue = q.name AND limited = 'waiting' AND {_KEY} = h.key ORDER BY id LIMIT q.page
) t
""")
_STANDING_OF_KEYS = sa.text(f"""
SELECT k.key, (SELECT count(*) FROM task WHERE {_KEY} = k.key AND limited = 'granted') AS held,
    CAST(extract(epoch FROM p.free_at - now()) AS float8) AS free_in
FROM unnest(CAST(:keys AS text[])) k(key) LEFT JOIN pace p ON p.name = 'task:' || k.key
""")
# Also what runs since before the queue had a limit.
_STANDING_OF_QUEUES = sa.text("""
SELECT q.name, q.concurrent, q.per_second, q.paused_at IS NOT NULL AS paused,
    CASE WHEN q.concurrent IS NULL THEN 0 ELSE
        (SELECT count(*) FROM task t WHERE t.queue = q.name AND t.state = 'running' AND t.finished_at IS NULL)
        + (SELECT count(*) FROM task t WHERE t.queue = q.name AND t.limited = 'granted' AND t.state = 'queued')
    END AS held,
    CAST(extract(epoch FROM p.free_at - now()) AS float8) AS free_in
FROM queue q LEFT JOIN pace p ON p.name = 'queue:' || q.name WHERE q.name = ANY(:queues)
""")
_PACE = sa.text("""
INSERT INTO pace (name, free_at) SELECT k.name, now() + k.seconds * interval '1 second'
FROM unnest(CAST(:names AS text[]), CAST(:seconds AS float8[])) k(name, seconds)
ON CONFLICT (name) DO UPDATE SET free_at = excluded.free_at
""")
_MARK_QUEUE = sa.text(f"""
INSERT INTO limit_mark (key)
SELECT 'queue:' || CAST(:queue AS text)
UNION SELECT DISTINCT 'task:' || (limits ->> 'key') FROM task
    WHERE queue = :queue AND limited = 'waiting' AND {_KEY} <> ''
""")
_MARK_ALL = sa.text(f"""
INSERT INTO limit_mark (key)
SELECT DISTINCT CASE {_KEY} WHEN '' THEN 'queue:' || queue ELSE 'task:' || {_KEY} END FROM task
WHERE limited = 'waiting'
""")


class Turn(NamedTuple):
    """`granted` tasks; the next turn is due in so many seconds, if nothing wakes the leader before."""

    granted: int
    due_in: float


def hold_back(conn: Connection, ids: Sequence[Any]) -> Committed[int]:
    """Tasks that were published before their queue got its limit wait for a grant; answers how many."""
    rows = conn.execute(_HOLD_BACK, {"ids": list(ids)}).all()
    return Committed.of_rows(rows, len(rows))


def changed(conn: Connection, queue: str) -> Committed[None]:
    """What waits in the queue is looked at anew: its limit was changed, or it was resumed."""
    conn.execute(_MARK_QUEUE, {"queue": queue})
    return Committed(None, wakes_scheduler=True)


class Granting:
    """The leader's part. It remembers which key of each queue had the last turn, and nothing else."""

    def __init__(self) -> None:
        self._lasts: dict[str, str] = {}

    def begin(self, conn: Connection) -> None:
        """At the beginning of a term everything that waits is looked at."""
        self._lasts.clear()
        conn.execute(_MARK_ALL)

    def turn(self, conn: Connection) -> Committed[Turn]:
        """Grants what the marked limits have room for. In a transaction of the leader's."""
        look = conn.execute(_LOOK).one()
        if not look.queues and (look.due_in is None or look.due_in > 0):
            return Committed(Turn(0, _seconds(look.due_in)))
        marks = conn.scalars(_TAKE_MARKS, {"limit": MARKS}).all()
        names = dict.fromkeys([*marks, *map(of_queue, look.queues)])
        queues = _queues(conn, [name.removeprefix("queue:") for name in names if name.startswith("queue:")])
        waiting = {
            **self._of_queues(conn, queues),
            **_of_keys(conn, [name.removeprefix("task:") for name in names if name.startswith("task:")]),
        }
        others = {task.queue for task in waiting.values()} - queues.keys()
        queues |= _queues(conn, others)
        given = grant(waiting.values(), _keys(conn, {task.key for task in waiting.values()} - {""}), queues)
        rows = conn.execute(_GRANT, {"ids": given.ids}).all() if given.ids else []
        self._note(conn, given, self._more(waiting, queues, given))
        due_in = 0.0 if len(marks) == MARKS else _seconds(conn.scalar(_NEXT))
        # What runs since before its queue had a limit wakes nobody when it ends.
        return Committed.of_rows(rows, Turn(len(rows), min(due_in, _QUEUES_SECONDS) if look.queues else due_in))

    def _of_queues(self, conn: Connection, queues: Mapping[str, QueueStanding]) -> dict[UUID, Waiting]:
        """Of the queues that have room, in the order of their turns."""
        open_ = {name: queue.room(PAGE) for name, queue in queues.items()}
        asked = [(name, self._lasts.get(name, ""), room) for name, room in open_.items() if room > 0]
        found: dict[UUID, Waiting] = {}
        # Behind the key that had the last grant, and then from the beginning.
        for turn in (asked, [(name, "", room) for name, _, room in asked if name in self._lasts]):
            names, firsts, pages = ([each[n] for each in turn] for n in range(3))
            values = {"queues": names, "firsts": firsts, "pages": pages, "heads": KEYS}
            for task in map(_waiting, conn.execute(_OF_QUEUES, values)) if turn else ():
                if turn is not asked or task.key != self._lasts.get(task.queue):
                    found.setdefault(task.id, task)
        return found

    def _more(
        self, waiting: Mapping[UUID, Waiting], queues: Mapping[str, QueueStanding], given: Granted
    ) -> dict[str, float]:
        """The limits that have to be looked at again because this turn saw a part of what waits, and in how many
        seconds."""
        again = dict(given.again)
        granted = Counter(of_key(waiting[i].key) for i in given.ids) + Counter(
            of_queue(waiting[i].queue) for i in given.ids
        )
        again |= {name: 0.0 for name, tasks in granted.items() if tasks >= PAGE}
        heads: dict[str, dict[str, None]] = {}
        for task in waiting.values():
            heads.setdefault(task.queue, {})[task.key] = None
        for queue, keys in heads.items():
            if queue in given.last_keys:
                self._lasts[queue] = given.last_keys[queue]
            elif len(keys) >= KEYS and queues[queue].is_limited:
                self._lasts[queue] = list(keys)[KEYS - 2]
            if len(keys) >= KEYS and queues[queue].is_limited and queues[queue].room(1):
                again.setdefault(of_queue(queue), 0.0 if queue in given.last_keys else _NEXT_KEYS_SECONDS)
        return again

    @staticmethod
    def _note(conn: Connection, given: Granted, again: Mapping[str, float]) -> None:
        if given.paces:
            conn.execute(_PACE, {"names": list(given.paces), "seconds": list(given.paces.values())})
        if again:
            conn.execute(_MARK, {"keys": list(again), "seconds": list(again.values())})


def _seconds(due_in: float | None) -> float:
    return math.inf if due_in is None else due_in


def _of_keys(conn: Connection, keys: Sequence[str]) -> dict[UUID, Waiting]:
    if not keys:
        return {}
    return {row.id: _waiting(row) for row in conn.execute(_OF_KEYS, {"keys": list(keys), "page": PAGE})}


def _waiting(row: Any) -> Waiting:
    limits = row.limits or {}
    return Waiting(row.id, row.queue, limits.get("key", ""), limits.get("concurrent"), limits.get("per_second"))


def _keys(conn: Connection, keys: Collection[str]) -> dict[str, Standing]:
    if not keys:
        return {}
    rows = conn.execute(_STANDING_OF_KEYS, {"keys": list(keys)})
    return {row.key: Standing(row.held, _free_in(row)) for row in rows}


def _queues(conn: Connection, names: Collection[str]) -> dict[str, QueueStanding]:
    if not names:
        return {}
    found = {name: QueueStanding() for name in names}
    for row in conn.execute(_STANDING_OF_QUEUES, {"queues": list(names)}):
        found[row.name] = QueueStanding(
            row.held, _free_in(row), concurrent=row.concurrent, per_second=row.per_second, paused=row.paused
        )
    return found


def _free_in(row: Any) -> float:
    return -BURST_SECONDS if row.free_in is None else max(float(row.free_in), -BURST_SECONDS)
