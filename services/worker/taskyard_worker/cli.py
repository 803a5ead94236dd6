"""`taskyard-worker`: the composition root of the worker service."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskyard.commands import (
    AWAY,
    FAILED,
    NOT_MIGRATED,
    USAGE,
    AsJson,
    LogLevel,
    fail,
    print_json,
    settings_or_exit,
    typer_app,
)
from taskyard.settings import Settings

if TYPE_CHECKING:
    from .child import Skills

PROGRAM = "taskyard-worker"

app = typer_app(PROGRAM, "Runs tasks: a supervisor and its child processes.")

Queues = Annotated[
    str | None,
    typer.Option("--queues", help="Comma-separated; the first is served most often.", envvar="TASKYARD_WORKER_QUEUES"),
]


def main() -> None:
    app()


@app.command()
def run(
    queues: Queues = None,
    processes: Annotated[
        str | None,
        typer.Option(
            "--processes",
            metavar="N|MIN:MAX",
            help="Child processes; MIN:MAX: as many as have work.",
            envvar="TASKYARD_WORKER_PROCESSES",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="Threads a child; 1 for tasks in C code.", envvar="TASKYARD_WORKER_THREADS"),
    ] = None,
    max_tasks_per_child: Annotated[
        int | None,
        typer.Option(
            "--max-tasks-per-child",
            help="A child is replaced after so many; 0: never.",
            envvar="TASKYARD_MAX_TASKS_PER_CHILD",
        ),
    ] = None,
    max_memory_per_child: Annotated[
        int | None,
        typer.Option(
            "--max-memory-per-child",
            help="In MiB; a child above it is replaced; 0: never.",
            envvar="TASKYARD_MAX_MEMORY_PER_CHILD_MB",
        ),
    ] = None,
    drain_seconds: Annotated[
        float | None,
        typer.Option("--drain-seconds", help="Time to finish on SIGTERM.", envvar="TASKYARD_DRAIN_SECONDS"),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", help="0: a free one.", envvar="TASKYARD_METRICS_PORT")
    ] = None,
    log_level: LogLevel = None,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; what runs is finished first.

    Examples:

      taskyard-worker run --queues high_priority,default --processes 2 --threads 8

      taskyard-worker run --queues geo_processing,selection --processes 1 --threads 1

      taskyard-worker run --processes 1:6
    """
    overrides = {
        "worker_queues": queues,
        "worker_processes": processes,
        "worker_threads": threads,
        "max_tasks_per_child": max_tasks_per_child,
        "max_memory_per_child_mb": max_memory_per_child,
        "drain_seconds": drain_seconds,
        "metrics_port": metrics_port,
        "log_level": log_level,
    }
    settings = settings_or_exit(PROGRAM, **overrides)
    from taskyard.telemetry.metrics import MetricsPortTaken

    from .service import Misconfigured, serve

    try:
        code = serve(settings, {k: v for k, v in overrides.items() if v is not None})
    except Misconfigured as e:
        fail(PROGRAM, str(e), USAGE)
    except MetricsPortTaken as e:
        fail(PROGRAM, str(e), FAILED)
    raise typer.Exit(code)


@app.command()
def types(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """List the task types this worker can run; diagnostics.* where TASKYARD_DIAGNOSTICS is set.

    Example: taskyard-worker types --json
    """
    skills = _skills(_prepared(log_level))
    catalogue, functions = skills.catalogue, skills.functions
    rows = [
        {
            "name": name,
            "queue": catalogue[name].queue,
            "description": catalogue[name].description,
            "function": f"{functions[name].__module__}.{functions[name].__qualname__}",
        }
        for name in catalogue.names
    ]
    if as_json:
        print_json(rows)
        return
    _table(["name", "queue", "description"], rows)


@app.command("run-task")
def run_task(
    name: Annotated[str, typer.Argument(help="The task type.")],
    params: Annotated[str, typer.Argument(help="Its parameters as JSON, or @FILE.")] = "{}",
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Run one task in this process, without any server, and print what came of it.

    Examples:

      taskyard-worker run-task diagnostics.echo '{"value": 1}'

      taskyard-worker run-task email.send @mail.json
    """
    settings = settings_or_exit(PROGRAM, log_level=log_level)
    _skills(settings)
    from taskyard.domain.errors import TaskyardError

    from .testing import run_task as run_here

    if log_level is not None:
        # What the task says comes as its log in any case: twice only for who asks.
        _set_up_logging(settings, log_level)
    try:
        given = json.loads(Path(params[1:]).read_text() if params.startswith("@") else params)
        report = run_here(name, given, settings=settings)
    except (ValueError, OSError, TaskyardError) as e:
        fail(PROGRAM, str(e), USAGE)
    outcome = report.outcome
    document = {
        "name": name,
        "outcome": type(outcome).__name__.lower(),
        "result": getattr(outcome, "result", None),
        "error": _fault(outcome),
        "progress": [{"current": c, "total": t, "message": m} for c, t, m in report.progress],
        "log": report.logs,
    }
    if as_json:
        print_json(document)
    else:
        for line in report.logs:
            typer.echo(f"  {line}", err=True)
        typer.echo(f"{document['outcome']}: {json.dumps(document['result'] or document['error'], default=str)}")
    if document["outcome"] != "succeeded":
        raise typer.Exit(FAILED)


inspect_app = typer_app("inspect", "What the workers of this installation do, from the ledger.")
app.add_typer(inspect_app, name="inspect")


@inspect_app.command("active")
def inspect_active(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Tasks that run now. Example: taskyard-worker inspect active"""
    from . import inspection

    _show(inspection.active, ["id", "name", "queue", "worker", "attempt", "started_at"], as_json, log_level)


@inspect_app.command("registered")
def inspect_registered(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """The task types each worker knows. Example: taskyard-worker inspect registered --json"""
    from . import inspection

    _show(inspection.registered, ["worker", "task_types"], as_json, log_level)


@inspect_app.command("stats")
def inspect_stats(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Processes, memory and finished tasks of each worker. Example: taskyard-worker inspect stats"""
    from . import inspection

    _show(
        inspection.stats,
        ["worker", "state", "processes", "threads", "memory_mb", "runs", "running"],
        as_json,
        log_level,
    )


@inspect_app.command("queues")
def inspect_queues(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Which worker serves which queue. Example: taskyard-worker inspect queues"""
    from . import inspection

    _show(inspection.queues, ["queue", "workers", "queued", "running", "paused"], as_json, log_level)


@app.command()
def healthcheck(
    ready: Annotated[bool, typer.Option("--ready", help="Whether it takes work, too.")] = False,
    log_level: LogLevel = None,
) -> None:
    """Exit 0 while the worker of this host (or container) is alive; for container health checks.

    Alive means that tasks could be fetched and recorded: the loops of a child go round. An outage of Redis or
    PostgreSQL does not end that; it ends being ready.

    Example: taskyard-worker healthcheck --ready
    """
    from .health import check

    problem = check(settings_or_exit(PROGRAM, log_level=log_level), ready=ready)
    if problem:
        fail(PROGRAM, problem, FAILED)


def _prepared(log_level: str | None) -> Settings:
    """Settings, and what libraries say on standard error from a warning on."""
    settings = settings_or_exit(PROGRAM, log_level=log_level)
    _set_up_logging(settings, log_level or "warning")
    return settings


def _set_up_logging(settings: Settings, level: str) -> None:
    from taskyard.telemetry.logging import set_up_logging

    from . import capture

    set_up_logging("worker", level=level, style=settings.log_format)
    capture.keep_secrets()


def _skills(settings: Settings) -> Skills:
    """Ends the program with 2 and one line where a task module or a key is wrong."""
    from .child import Skills
    from .child_process import in_one_line

    try:
        return Skills.load(settings)
    except Exception as e:  # noqa: BLE001 - whatever a task module raises at its import
        fail(PROGRAM, in_one_line(e), USAGE)


def _show(query: Any, columns: list[str], as_json: bool, log_level: str | None) -> None:
    from sqlalchemy.exc import ProgrammingError

    from taskyard.domain.errors import LedgerUnavailable

    settings = _prepared(log_level)
    try:
        rows = query(settings)
    except LedgerUnavailable as e:
        fail(PROGRAM, f"PostgreSQL is away: {e}", AWAY)
    except ProgrammingError:
        fail(PROGRAM, NOT_MIGRATED, FAILED)
    if as_json:
        print_json(rows)
    else:
        _table(columns, rows)


def _table(columns: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        values = (row[c] for c in columns)
        table.add_row(*(", ".join(map(str, v)) if isinstance(v, list | tuple) else str(v) for v in values))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _fault(outcome: Any) -> dict[str, Any] | None:
    fault = getattr(outcome, "fault", None)
    return {"code": fault.code, "message": fault.message, "type": fault.type} if fault else None


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
