"""`taskyard-worker status`: which workers live, and what they run, from the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskyard.commands import FAILED, AsJson, LogLevel, command_engine, print_json
from taskyard.store.beats import HAS_BEGUN

from .inspect_cli import PROGRAM, prepared, print_rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MOST = 1000
_ACTIVE = f"""
SELECT t.id, t.name, t.queue, t.attempt, t.started_at, t.worker, t.worker_id, {HAS_BEGUN} AS has_begun
FROM queue q CROSS JOIN LATERAL (
    SELECT * FROM task WHERE queue = q.name AND state = 'running' AND finished_at IS NULL
) t
LEFT JOIN worker w ON w.id = t.worker_id
WHERE CAST(:queue AS text) IS NULL OR q.name = :queue
ORDER BY t.started_at LIMIT :most
"""  # noqa: S608 constants only


def status(
    queue: Annotated[str | None, typer.Option("--queue", help="Only workers that serve it, and tasks in it.")] = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Show the workers that live, those that were lost within the last hour, and the tasks that they run. Exits with 1
    where none lives.

    A worker also claims tasks that its threads are about to begin: they are counted apart.

    --json: `active_tasks` and `worker_stats` by the worker's name, as Celery's `inspect` has them, and `timestamp`.

    Examples:

      taskyard-worker status

      taskyard-worker status --queue geo_processing --json
    """
    from taskyard.store import ledger

    settings = prepared(log_level)
    lease = settings.worker_lease
    with command_engine(PROGRAM, settings) as engine:
        document = ledger.run(engine, lambda conn: _read(conn, lease, queue))
    if as_json:
        print_json(document)
    else:
        _show(document)
    if not any(worker["is_alive"] for worker in document["worker_stats"].values()):
        raise typer.Exit(FAILED)


def _read(conn: Connection, lease: timedelta, queue: str | None) -> dict[str, Any]:
    import sqlalchemy as sa

    from taskyard.store import fleet

    now: datetime = conn.execute(sa.text("SELECT now()")).scalar_one()
    rows = fleet.workers(conn, lease=lease, queues=None if queue is None else [queue], limit=_MOST)
    workers = [row for row in rows if row["stopped_at"] is None]
    labels = _labels(workers)
    active: dict[str, list[dict[str, Any]]] = {label: [] for label in labels.values()}
    claimed = Counter[str]()
    for task in conn.execute(sa.text(_ACTIVE), {"queue": queue, "most": _MOST}).mappings():
        shown = {name: task[name] for name in ("id", "name", "queue", "attempt", "started_at", "worker")}
        # Of a worker that is no longer shown: the leader is about to queue the task again.
        label = labels.get(task["worker_id"]) or str(task["worker"]).rpartition(":")[0]
        if not task["has_begun"]:
            claimed[label] += 1
            continue
        active.setdefault(label, []).append({**shown, "running_seconds": _seconds(task["started_at"], now)})
    stats = {
        label: _stats(row, now, running=len(active[label]), claimed=claimed[label])
        for row in workers
        for label in [labels[row["id"]]]
    }
    return {"active_tasks": active, "worker_stats": stats, "timestamp": now.astimezone(UTC)}


def _labels(workers: Sequence[Mapping[Any, Any]]) -> dict[Any, str]:
    """By id. Names need not be unique: further ones of a name have the end of the id, too."""
    labels: dict[Any, str] = {}
    for row in sorted(workers, key=lambda row: (not row["is_alive"], row["id"])):
        name = str(row["name"])
        labels[row["id"]] = name if name not in labels.values() else f"{name} {str(row['id'])[-8:]}"
    return labels


def _stats(row: Mapping[Any, Any], now: datetime, *, running: int, claimed: int) -> dict[str, Any]:
    # The leader notes a loss; until it does, and where none leads, an overdue beat tells it.
    state = row["state"] if row["is_alive"] else "lost"
    told = ("id", "host", "pid", "version", "queues", "processes", "processes_most", "threads", "memory_bytes")
    more = ("children", "started_at")
    asked = ("drain_asked_at", "restart_asked_at", "processes_asked")
    return {
        **{name: row[name] for name in (*told, *more, *asked)},
        "state": state,
        "is_alive": row["is_alive"],
        "slots": row["processes"] * row["threads"],
        "running": running,
        "claimed": claimed,
        "runs": sum(int(child.get("runs") or 0) for child in row["children"]),
        "last_beat_at": row["beat_at"],
        "beat_age_seconds": _seconds(row["beat_at"], now),
    }


def _seconds(since: datetime, now: datetime) -> float:
    return round(max(0.0, (now - since).total_seconds()), 1)


def _show(document: Mapping[str, Any]) -> None:
    stats = document["worker_stats"]
    if stats:
        columns = ["worker", "state", "queues", "busy", "memory_mb", "runs", "last_beat"]
        print_rows(columns, [_row(label, worker) for label, worker in sorted(stats.items())], as_json=False)
    for label, worker in sorted(stats.items()):
        if why := next((child["why_spawned"] for child in worker["children"] if child.get("why_spawned")), None):
            typer.echo(f"\n{label} imports task modules in each child process: {why}")
    active = [task for of_worker in document["active_tasks"].values() for task in of_worker]
    tasks = [{**task, "for": f"{task['running_seconds']:.0f} s"} for task in active]
    if tasks:
        typer.echo()
        print_rows(["id", "name", "queue", "worker", "attempt", "for"], tasks, as_json=False)
    alive = sum(1 for worker in stats.values() if worker["is_alive"])
    lost = len(stats) - alive
    claimed = sum(worker["claimed"] for worker in stats.values())
    typer.echo(
        ("\n" if stats or tasks else "")
        + f"{alive} {'worker lives' if alive == 1 else 'workers live'}"
        + (f", {lost} lost within the last hour" if lost else "")
        + f"; {len(tasks)} {'task runs' if len(tasks) == 1 else 'tasks run'}"
        + (f", {claimed} about to begin" if claimed else "")
    )


def _row(label: str, worker: Mapping[str, Any]) -> dict[str, Any]:
    memory = worker["memory_bytes"]
    return {
        "worker": label,
        "state": worker["state"],
        "queues": ",".join(worker["queues"]),
        "busy": f"{worker['running']} of {worker['slots']}",
        "memory_mb": None if memory is None else round(memory / 2**20),
        "runs": worker["runs"],
        "last_beat": f"{worker['beat_age_seconds']:.0f} s ago",
    }
