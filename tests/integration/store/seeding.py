"""A ledger with a million tasks, made in seconds: rows first, indexes afterwards, as the migrations define them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import sql

MILLION = 1_000_000
QUEUES = ("high_priority", "default", "low_priority", "geo_processing", "selection")
NAMES = ("email.send", "files.process_large_file", "data.sync", "users.update_stats", "health.check")
RARE_NAME = "payments.process"
RARE_CODE = "payment_declined"
RARE_TAG, COMMON_TAG = "vip", "import"

LIVE_WORKER = UUID("00000000-0000-7000-8000-000000000001")
LOST_WORKER = UUID("00000000-0000-7000-8000-000000000002")


@dataclass(frozen=True)
class Mix:
    """How many of every 10,000 tasks are in each state; the others are in `rest`.

    The oldest `oldest` of 10,000 have all succeeded: tasks run in order, so finished tasks are on the far side of all
    waiting ones.
    """

    rest: str
    oldest: int = 0
    queued: int = 0
    scheduled: int = 0
    retrying: int = 0
    running: int = 0
    failed: int = 0
    cancelled: int = 0

    def ladder(self) -> str:
        """A CASE over `r`, a number from 0 to 9,999 that depends on the row."""
        steps, below = [f"WHEN n * 10000.0 / %(rows)s <= {self.oldest} THEN 'succeeded'"], 0
        for state in ("queued", "scheduled", "retrying", "running", "failed", "cancelled"):
            below += getattr(self, state)
            steps.append(f"WHEN r < {below} THEN '{state}'")
        return f"CASE {' '.join(steps)} ELSE '{self.rest}' END"


WAITING = Mix("queued", oldest=200, scheduled=100, retrying=50, running=5, failed=20, cancelled=10)
FINISHED = Mix("succeeded", queued=10, scheduled=3, retrying=2, running=5, failed=300, cancelled=100)

# Two in a thousand tasks are of the rare type, one in a thousand has the rare tag; the queue `selection` was used long
# ago; of every 25 running tasks one is on a worker that was lost. Ids are version 7, one a millisecond, the last one
# made just now.
_ROWS = """
INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, tags, created_at,
    state, run_at, due_at, queued_at, expires_at, publication, claim, worker_id, worker, attempt, started_at,
    failures, finished_at, result, error, submitted_by)
SELECT id, name, queue, jsonb_build_object('value', n, 'note', 'a task of ordinary size'), 4, 540, 600, tags, at,
    state, at, CASE WHEN state IN ('scheduled','retrying') THEN now() + (mod(n, 86400) - 60) * interval '1 second' END,
    CASE WHEN state = 'queued' THEN at END,
    CASE WHEN mod(n, 10) = 0 THEN now() + (mod(n, 86400) - 5) * interval '1 second' END, 1,
    CASE WHEN state = 'running' THEN id END,
    CASE WHEN state = 'running' THEN CASE WHEN mod(k, 25) = 0 THEN %(lost)s::uuid ELSE %(live)s::uuid END END,
    CASE WHEN state NOT IN ('queued','scheduled') THEN 'worker-1:1' END,
    CASE WHEN state IN ('queued','scheduled') THEN 0 ELSE 1 END,
    CASE WHEN state NOT IN ('queued','scheduled') THEN at END,
    CASE WHEN state IN ('retrying','failed') THEN 1 ELSE 0 END,
    CASE WHEN state IN ('succeeded','failed','cancelled') THEN at END,
    CASE WHEN state = 'succeeded' THEN jsonb_build_object('value', 1) END,
    CASE WHEN state = 'failed' THEN
        jsonb_build_object('code', CASE WHEN mod(k, 500) = 7 THEN %(rare_code)s ELSE 'smtp_refused' END,
            'message', 'It was refused.') END, 'ci'
FROM (
    SELECT n, k, at,
        (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid
            AS id,
        CASE WHEN mod(k, 500) = 7 THEN %(rare_name)s ELSE
            (%(names)s::text[])[1 + mod(k, cardinality(%(names)s::text[]))] END AS name,
        (%(queues)s::text[])[CASE WHEN mod(k, 10) < 6 OR mod(k, 5) = 4 AND n > 20000 THEN 2 ELSE 1 + mod(k, 5) END]
            AS queue,
        CASE WHEN mod(k, 1000) = 11 THEN ARRAY[%(rare_tag)s, %(common_tag)s]
             WHEN mod(k, 5) = 0 THEN ARRAY[%(common_tag)s] ELSE ARRAY[]::text[] END AS tags,
        LADDER AS state
    FROM (
        SELECT n, hashint4(n) & 2147483647 AS k, mod(hashint4(n + 7) & 2147483647, 10000) AS r,
            now() - (%(rows)s - n) * interval '1 millisecond' AS at
        FROM generate_series(1, %(rows)s) n
    ) a
) b
"""


_COMPANIONS = """
INSERT INTO unique_key (name, key, task_id, hold)
    SELECT name, id::text, id, 'active' FROM (SELECT name, id FROM task ORDER BY id DESC LIMIT 20000) t;
INSERT INTO task_progress (task_id, attempt, current, total)
    SELECT id, 1, 1, 2 FROM (SELECT id FROM task ORDER BY id DESC LIMIT 20000) t;
INSERT INTO task_event (task_id, attempt, kind)
    SELECT id, 1, 'log' FROM (SELECT id FROM task ORDER BY id DESC LIMIT 20000) t;
INSERT INTO audit (id, at, actor, action, target_type, target_id)
    SELECT id, created_at, CASE WHEN n = 1 THEN 'rare' WHEN mod(n, 2) = 0 THEN 'ci' ELSE 'ops' END,
        CASE WHEN n = 2 THEN 'key.revoke' WHEN mod(n, 2) = 0 THEN 'task.cancel' ELSE 'task.retry' END, 'task', id::text
    FROM (SELECT id, created_at, row_number() OVER (ORDER BY id) AS n FROM task ORDER BY id LIMIT 200000) t;
"""


def seed(dsn: str, mix: Mix, rows: int = MILLION, *, is_uniform: bool = False, names: Sequence[str] = NAMES) -> None:
    """Fills an empty, migrated database and leaves it vacuumed and analysed, as one that has run for long.

    `is_uniform`: all tasks are in the queue `default`, and all but those of the rare type have the first name.
    """
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET maintenance_work_mem = '256MB'")
        for name in QUEUES:
            conn.execute("INSERT INTO queue (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])
        for worker, lost in ((LIVE_WORKER, False), (LOST_WORKER, True)):
            conn.execute(
                "INSERT INTO worker (id, name, host, pid, version, queues, task_types, processes, threads, lost_at)"
                " VALUES (%s, 'w', 'h', 1, '0', %s, %s, 2, 8, CASE WHEN %s THEN now() END)",
                [worker, list(QUEUES), list(names), lost],
            )
        with conn.transaction():
            indexes = _drop_indexes(conn)
            values = {
                "live": LIVE_WORKER,
                "lost": LOST_WORKER,
                "names": [names[0]] if is_uniform else list(names),
                "rare_name": RARE_NAME,
                "rare_code": RARE_CODE,
                "queues": ["default"] * len(QUEUES) if is_uniform else list(QUEUES),
                "rare_tag": RARE_TAG,
                "common_tag": COMMON_TAG,
                "rows": rows,
            }
            conn.execute(_ROWS.replace("LADDER", mix.ladder()), values)
            for definition in indexes:
                conn.execute(definition)
        conn.execute(_COMPANIONS)
        conn.execute("INSERT INTO outbox (task_ids) SELECT ARRAY[id] FROM task WHERE state = 'queued' LIMIT 200")
        conn.execute("VACUUM (ANALYZE)")


def _drop_indexes(conn: psycopg.Connection) -> list[str]:
    """Drops the indexes of `task`; returns the statements that create them again."""
    found = conn.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'task'"
    ).fetchall()
    again = []
    for name, definition in found:
        if name == "pk_task":
            conn.execute("ALTER TABLE task DROP CONSTRAINT pk_task")
            again.append("ALTER TABLE task ADD CONSTRAINT pk_task PRIMARY KEY (id)")
        else:
            conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
            again.append(definition)
    return again
