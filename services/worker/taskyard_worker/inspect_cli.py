"""`taskyard-worker inspect`, and what it shares with the other commands."""

from __future__ import annotations

import sys
from typing import Any

from taskyard.commands import AsJson, LogLevel, command_engine, print_json, settings_or_exit, typer_app
from taskyard.settings import Settings
from taskyard.store.beats import HAS_BEGUN, LIVING_CHILDREN

PROGRAM = "taskyard-worker"

_ACTIVE = f"""
SELECT t.id, t.name, t.queue, t.worker, t.attempt, t.started_at FROM queue q CROSS JOIN LATERAL (
    SELECT * FROM task WHERE queue = q.name AND state = 'running' AND finished_at IS NULL
) t LEFT JOIN worker w ON w.id = t.worker_id
WHERE {HAS_BEGUN} ORDER BY t.started_at LIMIT 1000
"""  # noqa: S608 constants only
# `worker.task_types` is all that workers of releases before the registry wrote.
_REGISTERED = """
SELECT w.name AS worker, n.name, r.version, t.kit
FROM worker w
LEFT JOIN LATERAL unnest(w.task_types) AS n(name) ON true
LEFT JOIN worker_type r ON r.worker_id = w.id AND r.name = n.name
LEFT JOIN task_type t ON t.name = r.name AND t.version = r.version
WHERE w.lost_at IS NULL AND w.stopped_at IS NULL
ORDER BY w.name, w.id, n.name
"""
_STATS = f"""
SELECT name AS worker, state, {LIVING_CHILDREN} AS processes, processes AS processes_most, threads,
    CAST(round(CAST(coalesce(memory_bytes, 0) AS double precision) / 1048576) AS bigint) AS memory_mb,
    (SELECT CAST(coalesce(sum(CAST(c ->> 'runs' AS bigint)), 0) AS bigint)
        FROM jsonb_array_elements(children) c) AS runs,
    (SELECT coalesce(sum(jsonb_array_length(c -> 'running')), 0) FROM jsonb_array_elements(children) c) AS running,
    beat_at, children
FROM worker w WHERE lost_at IS NULL AND stopped_at IS NULL ORDER BY name
"""  # noqa: S608 constants only
# Counted up to a bound, because a person waits; the scheduler exports exact depths. As in its metric, what waits for a
# limit is `blocked`; where more than 100,000 of a queue do, `queued` is what the scheduler counted last.
_QUEUES = """
SELECT q.name AS queue,
    (SELECT count(*) FROM worker w
        WHERE q.name = ANY(w.queues) AND w.lost_at IS NULL AND w.stopped_at IS NULL
            AND w.drain_asked_at IS NULL) AS workers,
    CASE WHEN held.tasks <= 100000 THEN least(queued.tasks - held.tasks, 100000)
        ELSE (SELECT coalesce(max(tasks), 0) FROM queue_depth WHERE queue = q.name AND state = 'queued')
    END AS queued,
    least(held.tasks, 100000) + (SELECT count(*) FROM (
        SELECT FROM task WHERE queue = q.name AND state = 'blocked' AND finished_at IS NULL LIMIT 100000
    ) t) AS blocked,
    (SELECT count(*) FROM (SELECT FROM task WHERE queue = q.name AND state = 'running' AND finished_at IS NULL
        LIMIT 100000) t) AS running,
    q.paused_at IS NOT NULL AS paused
FROM queue q
CROSS JOIN LATERAL (SELECT count(*) AS tasks FROM (
    SELECT FROM task WHERE queue = q.name AND state = 'queued' AND finished_at IS NULL LIMIT 200000) t) queued
CROSS JOIN LATERAL (SELECT count(*) AS tasks FROM (
    SELECT FROM task WHERE queue = q.name AND limited = 'waiting' LIMIT 100001) t) held
ORDER BY q.name
"""

inspect_app = typer_app("inspect", "What the workers of this installation do, from the ledger.")


@inspect_app.command("active")
def inspect_active(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Tasks that run now. Example: taskyard-worker inspect active"""
    _show(_ACTIVE, ["id", "name", "queue", "worker", "attempt", "started_at"], as_json, log_level)


@inspect_app.command("registered")
def inspect_registered(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """The task types that each worker runs. Example: taskyard-worker inspect registered --json"""
    _show(_REGISTERED, ["worker", "name", "version", "kit"], as_json, log_level)


@inspect_app.command("stats")
def inspect_stats(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Processes, memory and finished tasks of each worker. Example: taskyard-worker inspect stats"""
    columns = ["worker", "state", "processes", "processes_most", "threads", "memory_mb", "runs", "running"]
    _show(_STATS, columns, as_json, log_level)


@inspect_app.command("queues")
def inspect_queues(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Workers and tasks of each queue; blocked: steps that wait for others, and what waits for a limit.

    Example: taskyard-worker inspect queues
    """
    _show(_QUEUES, ["queue", "workers", "queued", "blocked", "running", "paused"], as_json, log_level)


def prepared(log_level: str | None) -> Settings:
    """Settings; libraries log their warnings to standard error."""
    settings = settings_or_exit(PROGRAM, log_level=log_level)
    log_to_stderr(settings, log_level or "warning")
    return settings


def log_to_stderr(settings: Settings, level: str) -> None:
    from taskyard.running import capture
    from taskyard.telemetry.logging import set_up_logging

    set_up_logging("worker", level=level, style=settings.log_format)
    capture.keep_secrets()


def _show(query: str, columns: list[str], as_json: bool, log_level: str | None) -> None:
    from sqlalchemy import text

    from taskyard.store import ledger

    settings = prepared(log_level)
    with command_engine(PROGRAM, settings) as engine:
        rows = ledger.run(engine, lambda conn: [dict(r) for r in conn.execute(text(query)).mappings()])
    print_rows(columns, rows, as_json)


def print_rows(columns: list[str], rows: list[dict[str, Any]], as_json: bool) -> None:
    """As JSON, or these columns as a table."""
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*("-" if row[c] is None else str(row[c]) for c in columns))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
