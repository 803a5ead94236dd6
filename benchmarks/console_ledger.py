"""What the benchmark of the console reads: a million tasks, each with an attempt and a line of its log, of 150 types in
25 queues; and of everything else that has a page as much as a large installation has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import psycopg

from taskyard.domain.statistics import Window
from taskyard_client import Client
from taskyard_client.canvas import group, step
from tests.integration.store.seeding import NAMES, RARE_NAME, Mix, seed

MIX = Mix("succeeded", queued=500, scheduled=50, retrying=50, running=5, failed=300, cancelled=100)
TYPES = (*NAMES, *(f"load.type_{n:03}" for n in range(145)))
_STEPS = 600
_LINES = 1_000
_DAY = "interval '1 day'"

# Of a type that a worker has registered, under other names.
_TYPES = """
INSERT INTO task_type (name, version, digest, spec, kit)
SELECT n, 1, md5(n), spec || jsonb_build_object('name', n, 'description', 'Does what ' || n || ' says.'), 'load'
FROM task_type t, unnest(%(types)s::text[]) n WHERE t.name = 'diagnostics.echo'
ON CONFLICT DO NOTHING;
"""
_FLEET = f"""
INSERT INTO queue (name) SELECT 'tenant-' || n FROM generate_series(1, 20) n;
UPDATE worker SET beat_at = now() + {_DAY} WHERE lost_at IS NULL;
INSERT INTO worker (id, name, host, pid, version, queues, task_types, processes, threads, memory_bytes, children,
    beat_at)
SELECT gen_random_uuid(), 'worker-' || n, 'host-' || n, 1000 + n, '1.0.0', (SELECT array_agg(name)
        FROM (SELECT name, row_number() OVER (ORDER BY name) AS k FROM queue) q WHERE mod(k, 5) = mod(n, 5)),
    %(types)s, 4, 8, 400000000, (SELECT jsonb_agg(jsonb_build_object('index', c, 'pid', 2000 + c, 'state', 'running',
        'running', '[]'::jsonb, 'runs', 40, 'memory_bytes', 100000000)) FROM generate_series(0, 3) c), now() + {_DAY}
FROM generate_series(1, 20) n;
INSERT INTO worker_type (worker_id, name, version)
SELECT w.id, t.name, t.version FROM worker w, task_type t WHERE w.lost_at IS NULL AND w.stopped_at IS NULL;
UPDATE task SET worker_id = w.id, worker = w.name || ':1'
FROM (SELECT id, name, row_number() OVER () AS n FROM worker WHERE name LIKE 'worker-%%') w
WHERE state = 'running' AND mod(('x' || right(task.id::text, 4))::bit(16)::int, 20) + 1 = w.n;
INSERT INTO worker_sample (worker_id, at, memory_bytes, running)
SELECT id, date_trunc('minute', now()) - n * interval '1 minute', 400000000 + mod(n, 90) * 1000000, mod(n, 32)
FROM worker, generate_series(0, 2879) n;
INSERT INTO leader (name, holder, holder_name, epoch, expires_at, ticked_at)
VALUES ('scheduler', gen_random_uuid(), 'scheduler-1', 1, now() + {_DAY}, now() + {_DAY});
INSERT INTO api_key (id, name, prefix, digest, scopes)
SELECT gen_random_uuid(), 'key-' || n, 'load' || n, sha256(n::text::bytea), '{{submit}}' FROM generate_series(1, 100) n;
"""
_TIMELINES = """
INSERT INTO task_attempt (task_id, attempt, outcome, worker, queue, started_at, finished_at, error, traceback)
SELECT id, 1, CASE state WHEN 'failed' THEN 'failed' WHEN 'retrying' THEN 'retrying' ELSE state END, worker, queue,
    coalesce(started_at, created_at), coalesce(finished_at, now()),
    CASE WHEN state IN ('failed', 'retrying') THEN coalesce(error,
        '{"code": "smtp_refused", "message": "It was refused."}') || jsonb_build_object('place', 'shop.mail:send') END,
    CASE WHEN state IN ('failed', 'retrying') THEN 'Traceback:' || repeat(E'\\n  a line', 80) END
FROM task WHERE state NOT IN ('queued', 'scheduled', 'running', 'blocked') ORDER BY id;
INSERT INTO task_attempt (task_id, attempt, outcome, worker, queue, started_at, cause)
SELECT id, 2, 'crashed', worker, queue, now(), 'It was killed by signal 9.'
FROM task WHERE state = 'failed' ORDER BY id LIMIT 5000;
INSERT INTO task_event (task_id, attempt, kind, data)
SELECT id, 1, 'log', '{"level": "info", "message": "it has begun"}' FROM task WHERE attempt > 0 ORDER BY id;
INSERT INTO counted_mark SELECT 'attempts', max(id) FROM task_attempt;
"""
# In each point that is kept. No type runs in every minute of a real day: charts and sums are at their largest.
_COUNTS = """
INSERT INTO task_count (span, at, queue, name, succeeded, failed, retried, run_seconds, wait_seconds, runs, waits)
SELECT %(span)s, date_bin(%(step)s, now(), '1970-01-01T00:00:00Z') - point * %(step)s::interval,
    (SELECT queue FROM task WHERE name = kind LIMIT 1), kind, 30, mod(point, 4), 1, 30, 10,
    array_fill(1::int8, ARRAY[30]), array_fill(2::int8, ARRAY[16])
FROM generate_series(0, %(points)s - 1) point, unnest(%(types)s::text[]) kind;
INSERT INTO queue_sample (queue, span, at, state, samples, total, most)
SELECT name, %(span)s, date_bin(%(step)s, now(), '1970-01-01T00:00:00Z') - point * %(step)s::interval, state, 12,
    100 + mod(point, 17), 20
FROM queue, generate_series(0, %(points)s - 1) point,
    unnest('{queued,running,retrying,scheduled,blocked}'::text[]) state;
"""
_ERRORS = """
INSERT INTO error_group (id, queue, name, code, place, failures, first_seen_at, last_seen_at, task_ids, solved_at,
    returned_at)
SELECT gen_random_uuid(), t.queue, t.name, t.error ->> 'code', 'shop.mail:step_' || t.n, 60, now() - interval '9 days',
    now() - t.n * interval '1 second', ARRAY[t.id], CASE WHEN mod(t.n, 10) < 2 THEN now() - interval '2 days' END,
    CASE WHEN mod(t.n, 10) = 0 THEN now() END
FROM (
    SELECT *, row_number() OVER (ORDER BY id DESC) AS n FROM task WHERE state = 'failed' ORDER BY id DESC LIMIT 2000
) t;
"""
_ERROR_COUNTS = """
INSERT INTO error_count (group_id, span, at, failures)
SELECT id, %(span)s, date_bin(%(step)s, now(), '1970-01-01T00:00:00Z') - point * %(step)s::interval, 1 + mod(point, 5)
FROM error_group, generate_series(0, 19) point;
"""
# Copies of one that was made by the API.
_SCHEDULES = """
INSERT INTO schedule SELECT (jsonb_populate_record(s, jsonb_build_object(
    'id', gen_random_uuid(), 'name', 'load-' || n, 'enabled', mod(n, 5) > 0, 'fires_at',
    CASE WHEN mod(n, 5) > 0 THEN s.fires_at END))).* FROM schedule s, generate_series(1, 499) n;
INSERT INTO schedule_fire (schedule_id, due_at, outcome, task_id)
SELECT id, now() - n * interval '1 hour', CASE WHEN mod(n, 9) = 0 THEN 'overlap' ELSE 'submitted' END,
    CASE WHEN mod(n, 9) > 0 THEN %(some)s::uuid END FROM schedule, generate_series(1, 400) n;
UPDATE schedule SET last_due_at = now() - interval '1 hour', last_task_id = %(some)s;
"""
_WORKFLOWS = """
INSERT INTO workflow SELECT (jsonb_populate_record(w, jsonb_build_object(
    'id', gen_random_uuid(), 'name', 'load-' || mod(n, 40), 'state', s.state, 'finished_at',
    CASE WHEN s.state <> 'running' THEN now() END))).*
FROM workflow w, generate_series(1, 20000) n,
    LATERAL (SELECT ('{running,succeeded,failed,cancelled,succeeded}'::text[])[1 + mod(n, 5)] AS state) s;
"""
_LONG = """
INSERT INTO task_event (task_id, attempt, kind, data)
SELECT %(failed)s, 1, 'log', jsonb_build_object('level', 'info', 'message', 'row ' || n || ' of the file was read')
FROM generate_series(1, %(lines)s) n;
UPDATE task SET parent_id = %(failed)s WHERE id IN (SELECT id FROM task WHERE state = 'succeeded' LIMIT 50);
"""


@dataclass(frozen=True)
class Filled:
    """Ids for the pages of one thing."""

    tasks: Mapping[str, UUID]
    worker: UUID
    error: UUID
    schedule: UUID
    workflow: UUID
    operation: UUID


def fill(conn: psycopg.Connection, dsn: str, client: Client, rows: int) -> Filled:
    """The API is up, and a worker has registered its types. No scheduler is there: nothing moves meanwhile."""
    types = [*TYPES, RARE_NAME]
    seed(dsn, MIX, rows, names=TYPES)
    conn.execute("DELETE FROM outbox")
    for statements in (_TYPES, _FLEET, _TIMELINES):
        _each(conn, statements, types=types)
    for window in Window:
        _each(conn, _COUNTS, types=types, span=window.value, step=window.step, points=window.kept // window.step)
    _each(conn, _ERRORS)
    for window in Window:
        _each(conn, _ERROR_COUNTS, span=window.value, step=window.step)
    tasks = {state: _newest(conn, state) for state in ("queued", "running", "retrying", "succeeded", "failed")}
    _each(conn, _LONG, failed=tasks["failed"], lines=_LINES)
    echo = {"name": "diagnostics.echo", "params": {"value": 1}}
    schedule = client.schedules.create("load", echo, {"cron": "30 8 * * 1-5", "timezone": "Europe/Berlin"})
    _each(conn, _SCHEDULES, some=tasks["failed"])
    fan = group(step("diagnostics.echo", {"value": n}) for n in range(_STEPS - 1))
    workflow = client.start(fan | step("diagnostics.echo", {"value": 1}), name="load")
    _each(conn, _WORKFLOWS)
    operation = client.operations.start("retry", name=RARE_NAME)
    conn.execute("DELETE FROM outbox")
    conn.execute("VACUUM (ANALYZE)")
    return Filled(
        tasks=tasks,
        worker=_id(conn, "SELECT id FROM worker WHERE name = 'worker-1'"),
        error=_id(conn, "SELECT id FROM error_group ORDER BY last_seen_at DESC LIMIT 1"),
        schedule=schedule.id,
        workflow=workflow.id,
        operation=operation.id,
    )


def _newest(conn: psycopg.Connection, state: str) -> UUID:
    return _id(conn, "SELECT id FROM task WHERE state = %s ORDER BY id DESC LIMIT 1", state)


def _id(conn: psycopg.Connection, statement: str, *values: object) -> UUID:
    row = conn.execute(statement.encode(), values).fetchone()
    assert row is not None, statement
    return UUID(str(row[0]))


def _each(conn: psycopg.Connection, statements: str, **values: object) -> None:
    """psycopg takes parameters for one statement at a time."""
    for statement in filter(str.strip, statements.split(";\n")):
        conn.execute(statement.encode(), values)
