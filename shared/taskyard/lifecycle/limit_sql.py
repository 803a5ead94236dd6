# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""What limits.py reads and notes: marks, what waits, and what limits have given out."""

from __future__ import annotations

import sqlalchemy as sa

from .claim import IS_APART

_KEY = "coalesce(limits ->> 'key', '')"
_HAS_LIMIT = "(q.concurrent IS NOT NULL OR q.per_second IS NOT NULL)"
_TASK = "id, queue, limits"
# A task that an earlier release has ended may still say that it is granted.
HOLDS = "limited = 'granted' AND finished_at IS NULL AND state IN ('queued', 'running')"

# Grants are given by one transaction at a time, also while one leader takes over from another.
ALONE = sa.text("SELECT pg_advisory_xact_lock(hashtext('taskyard'), hashtext('limits'))")
# What there is to do, in one look: the first mark's time; the queues in which something waits for the queue; and those
# that may have to take back what no worker has claimed. What waits for a key is marked.
LOOK = sa.text(f"""
SELECT CAST(extract(epoch FROM (SELECT min(due_at) FROM limit_mark) - now()) AS float8) AS due_in, ARRAY(
    SELECT name FROM queue q CROSS JOIN LATERAL (
        SELECT FROM task t WHERE t.queue = q.name AND t.limited = 'waiting' LIMIT 1) w WHERE {_HAS_LIMIT}
    UNION SELECT name FROM queue q CROSS JOIN LATERAL (
        SELECT FROM task t WHERE t.queue = q.name AND t.limited = 'waiting' AND {_KEY} = '' LIMIT 1) w
        WHERE NOT {_HAS_LIMIT}
    UNION SELECT name FROM queue q CROSS JOIN LATERAL (
        SELECT FROM task t WHERE t.queue = q.name AND t.limited = 'granted' AND t.state = 'queued' LIMIT 1) w
        WHERE q.paused_at IS NOT NULL OR q.concurrent IS NOT NULL
    ) AS queues, EXISTS (SELECT FROM task WHERE limited = 'waiting') AS waits
""")
NEXT = sa.text("SELECT CAST(extract(epoch FROM min(due_at) - now()) AS float8) FROM limit_mark")
# All marks of so many limits.
TAKE_MARKS = sa.text("""
WITH taken AS (
    DELETE FROM limit_mark WHERE due_at <= now() AND key = ANY(ARRAY(
        SELECT DISTINCT key FROM (
            SELECT key FROM limit_mark WHERE due_at <= now() ORDER BY due_at, id LIMIT 10 * :limit) m LIMIT :limit))
    RETURNING key
)
SELECT DISTINCT key FROM taken
""")
# Whatever other marks there are: the leader may be about to take them, and not see yet why this one is made.
MARK_NEWLY = sa.text("INSERT INTO limit_mark (key) VALUES (:key)")
# A mark that comes as soon is enough.
MARK = sa.text("""
INSERT INTO limit_mark (key, due_at) SELECT k.key, now() + k.seconds * interval '1 second'
FROM unnest(CAST(:keys AS text[]), CAST(:seconds AS float8[])) k(key, seconds)
WHERE NOT EXISTS (
    SELECT FROM limit_mark m WHERE m.key = k.key AND m.due_at <= now() + k.seconds * interval '1 second')
""")
MARK_QUEUES = sa.text("""
WITH RECURSIVE place(name) AS (
    (SELECT queue FROM task WHERE limited IN ('waiting', 'granted') ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM task WHERE limited IN ('waiting', 'granted') AND queue > p.name ORDER BY queue LIMIT 1)
    FROM place p WHERE p.name IS NOT NULL
)
INSERT INTO limit_mark (key) SELECT 'queue:' || name FROM place WHERE name IS NOT NULL
""")
PACE = sa.text("""
INSERT INTO limit_pace (name, last_at) SELECT k.name, now() + k.seconds * interval '1 second'
FROM unnest(CAST(:names AS text[]), CAST(:seconds AS float8[])) k(name, seconds)
ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at
""")

# Of the marked queues, and of all that may have no room. Running tasks count also where they began before the queue
# had a limit.
QUEUES = sa.text(f"""
SELECT q.name, q.concurrent, q.per_second, q.paused_at IS NOT NULL AS paused,
    CASE WHEN q.concurrent IS NULL THEN 0 ELSE (SELECT count(*) FROM (
        SELECT FROM task t WHERE t.queue = q.name AND t.finished_at IS NULL AND t.state = 'running'
        UNION ALL SELECT FROM task t WHERE t.queue = q.name AND t.limited = 'granted' AND t.state = 'queued'
        LIMIT q.concurrent + :most) held) END AS held,
    CAST(extract(epoch FROM p.last_at - now()) AS float8) AS last
FROM queue q LEFT JOIN limit_pace p ON p.name = 'queue:' || q.name
WHERE q.name = ANY(:names) OR {_HAS_LIMIT} OR q.paused_at IS NOT NULL
""")
# The newest grants that no worker has claimed.
SURPLUS = sa.text("""
SELECT t.id FROM unnest(CAST(:queues AS text[]), CAST(:counts AS int8[])) q(name, count) CROSS JOIN LATERAL (
    SELECT id FROM task WHERE queue = q.name AND limited = 'granted' AND state = 'queued' AND finished_at IS NULL
    ORDER BY id DESC LIMIT q.count
) t
""")
# A range, though of one state only (store/live_tasks.py): else the planner may walk the primary key, through all that
# waits in other queues.
QUEUED = sa.text("""
SELECT t.queue, t.id, t.limited FROM unnest(CAST(:queues AS text[]), CAST(:afters AS uuid[])) q(name, after)
CROSS JOIN LATERAL (
    SELECT queue, id, limited FROM task
    WHERE queue = q.name AND state BETWEEN 'queued' AND 'queued' AND finished_at IS NULL AND id > q.after
    ORDER BY state, id LIMIT :page
) t ORDER BY t.id
""")
# They are claimed from the ledger: no worker meets them as messages.
APART = sa.text(f"""
SELECT t.id FROM task t JOIN queue q ON q.name = t.queue
WHERE t.queue = :queue AND {IS_APART} AND t.finished_at IS NULL AND t.state = 'queued' AND t.limited IS NULL
    AND {_HAS_LIMIT}
""")

_HELD_OF_KEY = f"(SELECT count(*) FROM (SELECT FROM task WHERE {_KEY} = {{key}} AND {HOLDS} LIMIT {{most}}) held)"
# Of each key, in each of its queues but those that are looked at otherwise, as many as the oldest one's limit has room
# for, and one that shows whether there is more to do.
OF_KEYS = sa.text(f"""
SELECT t.* FROM unnest(CAST(:keys AS text[])) k(key) CROSS JOIN LATERAL (
    WITH RECURSIVE place(name) AS (
        (SELECT queue FROM task WHERE {_KEY} = k.key AND limited = 'waiting' ORDER BY queue LIMIT 1)
        UNION ALL
        SELECT (SELECT queue FROM task WHERE {_KEY} = k.key AND limited = 'waiting' AND queue > p.name
            ORDER BY queue LIMIT 1)
        FROM place p WHERE p.name IS NOT NULL
    )
    SELECT name FROM place WHERE name IS NOT NULL AND name <> ALL(:without)
) q CROSS JOIN LATERAL (
    SELECT CAST(limits ->> 'concurrent' AS int8) AS most, CAST(limits ->> 'per_second' AS float8) AS rate FROM task
    WHERE queue = q.name AND limited = 'waiting' AND {_KEY} = k.key ORDER BY id LIMIT 1
) f CROSS JOIN LATERAL (
    SELECT {_TASK} FROM task WHERE queue = q.name AND limited = 'waiting' AND {_KEY} = k.key ORDER BY id
    LIMIT least(:page, f.most - {_HELD_OF_KEY.format(key="k.key", most="f.most")} + 1,
        CAST(ceil(f.rate * :burst_seconds) AS int8) + 2)
) t ORDER BY t.id
""")
# The next keys that wait in these queues.
KEYS_OF_QUEUES = sa.text(f"""
SELECT q.name, h.key FROM unnest(CAST(:queues AS text[]), CAST(:afters AS text[])) q(name, after) CROSS JOIN LATERAL (
    WITH RECURSIVE head(key) AS (
        (SELECT {_KEY} FROM task WHERE queue = q.name AND limited = 'waiting' AND {_KEY} > q.after
            ORDER BY {_KEY} LIMIT 1)
        UNION ALL
        SELECT (SELECT {_KEY} FROM task WHERE queue = q.name AND limited = 'waiting' AND {_KEY} > h.key
            ORDER BY {_KEY} LIMIT 1)
        FROM head h WHERE h.key IS NOT NULL
    )
    SELECT key FROM head WHERE key IS NOT NULL LIMIT :keys
) h
""")
# Of the oldest task of each: has its key room, and when is the next one's time by the rate.
HEADS = sa.text(f"""
SELECT h.queue, h.key,
    f.most IS NULL OR {_HELD_OF_KEY.format(key="h.key", most="f.most")} < f.most AS has_room,
    CASE WHEN f.rate IS NULL THEN NULL ELSE (
        SELECT CAST(extract(epoch FROM p.last_at + interval '1 second' / f.rate - now()) AS float8) FROM limit_pace p
        WHERE p.name = 'task:' || h.key) END AS free_in
FROM unnest(CAST(:queues AS text[]), CAST(:keys AS text[])) h(queue, key) CROSS JOIN LATERAL (
    SELECT CAST(limits ->> 'concurrent' AS int8) AS most, CAST(limits ->> 'per_second' AS float8) AS rate FROM task
    WHERE queue = h.queue AND limited = 'waiting' AND {_KEY} = h.key ORDER BY id LIMIT 1
) f
""")
OF_HEADS = sa.text(f"""
SELECT t.* FROM unnest(CAST(:queues AS text[]), CAST(:keys AS text[]), CAST(:pages AS int8[])) h(queue, key, page)
CROSS JOIN LATERAL (
    SELECT {_TASK} FROM task WHERE queue = h.queue AND limited = 'waiting' AND {_KEY} = h.key ORDER BY id LIMIT h.page
) t
""")
KEYS = sa.text(f"""
SELECT k.key, {_HELD_OF_KEY.format(key="k.key", most="k.most")} AS held,
    CAST(extract(epoch FROM p.last_at - now()) AS float8) AS last
FROM unnest(CAST(:keys AS text[]), CAST(:mosts AS int8[])) k(key, most)
LEFT JOIN limit_pace p ON p.name = 'task:' || k.key
""")
