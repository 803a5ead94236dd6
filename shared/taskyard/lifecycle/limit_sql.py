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

# What there is to do, in one look: the first mark's time, and the queues in which something waits for the queue. What
# waits for a key is marked.
LOOK = sa.text(f"""
SELECT CAST(extract(epoch FROM (SELECT min(due_at) FROM limit_mark) - now()) AS float8) AS due_in, ARRAY(
    SELECT name FROM queue q WHERE {_HAS_LIMIT}
        AND EXISTS (SELECT FROM task t WHERE t.queue = q.name AND t.limited = 'waiting')
    UNION ALL SELECT name FROM queue q WHERE NOT {_HAS_LIMIT}
        AND EXISTS (SELECT FROM task t WHERE t.queue = q.name AND t.limited = 'waiting' AND {_KEY} = '')) AS queues
""")
NEXT = sa.text("SELECT CAST(extract(epoch FROM min(due_at) - now()) AS float8) FROM limit_mark")
TAKE_MARKS = sa.text("""
DELETE FROM limit_mark WHERE id = ANY(ARRAY(
    SELECT id FROM limit_mark WHERE due_at <= now() ORDER BY due_at, id LIMIT :limit)) RETURNING key
""")
# A mark that comes as soon is enough.
MARK = sa.text("""
INSERT INTO limit_mark (key, due_at) SELECT k.key, now() + k.seconds * interval '1 second'
FROM unnest(CAST(:keys AS text[]), CAST(:seconds AS float8[])) k(key, seconds)
WHERE NOT EXISTS (
    SELECT FROM limit_mark m WHERE m.key = k.key AND m.due_at <= now() + k.seconds * interval '1 second')
""")
MARK_QUEUE = sa.text(f"""
INSERT INTO limit_mark (key)
SELECT 'queue:' || CAST(:queue AS text)
UNION SELECT DISTINCT 'task:' || (limits ->> 'key') FROM task
    WHERE queue = :queue AND limited = 'waiting' AND {_KEY} <> ''
""")
# Spread, so that they do not hold up the marks of what happens meanwhile.
MARK_ALL = sa.text(f"""
INSERT INTO limit_mark (key, due_at)
SELECT key, now() + (row_number() OVER () / 1000) * interval '50 milliseconds' FROM (
    SELECT DISTINCT CASE {_KEY} WHEN '' THEN 'queue:' || queue ELSE 'task:' || {_KEY} END AS key FROM task
    WHERE limited = 'waiting'
) w
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
# They are claimed from the ledger: no worker meets them as messages.
APART = sa.text(f"""
SELECT t.id FROM task t JOIN queue q ON q.name = t.queue
WHERE t.queue = :queue AND {IS_APART} AND t.finished_at IS NULL AND t.state = 'queued' AND t.limited IS NULL
    AND {_HAS_LIMIT}
""")

_HELD_OF_KEY = f"(SELECT count(*) FROM (SELECT FROM task WHERE {_KEY} = {{key}} AND {HOLDS} LIMIT {{most}}) held)"
# Of each key as many as the oldest one's limit has room for, not from queues without room.
OF_KEYS = sa.text(f"""
SELECT t.* FROM unnest(CAST(:keys AS text[])) k(key) CROSS JOIN LATERAL (
    SELECT CAST(limits ->> 'concurrent' AS int8) AS most FROM task
    WHERE {_KEY} = k.key AND limited = 'waiting' AND queue <> ALL(:closed) ORDER BY id LIMIT 1
) f CROSS JOIN LATERAL (
    SELECT {_TASK} FROM task WHERE {_KEY} = k.key AND limited = 'waiting' AND queue <> ALL(:closed) ORDER BY id
    LIMIT CASE WHEN f.most IS NULL THEN :page
        ELSE least(:page, f.most - {_HELD_OF_KEY.format(key="k.key", most="f.most")}) END
) t
""")
# A walk from key to key, beginning with the one whose turn it is; `is_ready`: its oldest task's limit has room.
HEADS = sa.text(f"""
SELECT q.name AS queue, h.key, h.key = '' OR (
    (f.most IS NULL OR {_HELD_OF_KEY.format(key="h.key", most="f.most")} < f.most)
    AND (f.rate IS NULL OR NOT EXISTS (SELECT FROM limit_pace p WHERE p.name = 'task:' || h.key
        AND p.last_at + interval '1 second' / f.rate > now()))) AS is_ready
FROM unnest(CAST(:queues AS text[]), CAST(:firsts AS text[])) q(name, first) CROSS JOIN LATERAL (
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
    SELECT CAST(limits ->> 'concurrent' AS int8) AS most, CAST(limits ->> 'per_second' AS float8) AS rate FROM task
    WHERE queue = q.name AND limited = 'waiting' AND {_KEY} = h.key ORDER BY id LIMIT 1
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
