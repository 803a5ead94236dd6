"""`taskyard-worker`: the command line of the worker service."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskyard.commands import (
    FAILED,
    SERVERS,
    USAGE,
    AsJson,
    LogLevel,
    fail,
    parse_params,
    postgresql_or_exit,
    print_json,
    settings_or_exit,
    typer_app,
)
from taskyard.output import run_program
from taskyard.schema_wait import Seconds, wait_for_schema
from taskyard.settings import Settings
from taskyard.storage.chosen import missing_in_production, temp_dir_overlaps

from .control_cli import drain, pool, restart
from .inspect_cli import PROGRAM, inspect_app, log_to_stderr, prepared, print_rows
from .status_cli import status

if TYPE_CHECKING:
    from .child.skills import Skills

app = typer_app(PROGRAM, "Runs tasks: a supervisor and its child processes.")
app.add_typer(inspect_app, name="inspect")
app.command()(status)
for command in (drain, restart, pool):
    app.command()(command)

Queues = Annotated[
    str | None,
    typer.Option("--queues", help="Comma-separated; served in this order.", envvar="TASKYARD_WORKER_QUEUES"),
]


def main() -> None:
    run_program(PROGRAM, app)


@app.command()
def run(
    queues: Queues = None,
    lower_share: Annotated[
        float | None,
        typer.Option(
            "--lower-share",
            help="Tasks of a later queue for each of an earlier one, 0 to 0.5; 0.1: one for ten.",
            envvar="TASKYARD_LOWER_QUEUES_SHARE",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="As /workers, logs and tasks show it: up to 64 letters, digits, and . _ - @.",
            envvar="TASKYARD_WORKER_NAME",
        ),
    ] = None,
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

      taskyard-worker run --queues high_priority,low_priority --lower-share 0.25

      taskyard-worker run --queues geo_processing,selection --processes 1 --threads 1

      taskyard-worker run --processes 1:6

      taskyard-worker run --name mail@production
    """
    overrides = {
        "worker_name": name,
        "worker_queues": queues,
        "lower_queues_share": lower_share,
        "worker_processes": processes,
        "worker_threads": threads,
        "max_tasks_per_child": max_tasks_per_child,
        "max_memory_per_child_mb": max_memory_per_child,
        "drain_seconds": drain_seconds,
        "metrics_port": metrics_port,
        "log_level": log_level,
    }
    settings = settings_or_exit(PROGRAM, needs=(*SERVERS, "secret_keys"), **overrides)
    if temp_dir_overlaps(settings):
        fail(PROGRAM, "TASKYARD_TEMP_DIR: must be apart from the storage, neither above nor below it.", USAGE)
    if problem := missing_in_production(settings):
        fail(PROGRAM, problem, USAGE)
    from taskyard.telemetry.metrics import MetricsPortTaken
    from taskyard.telemetry.trace_variables import ExportsMisconfigured

    from .supervisor.composition import serve
    from .supervisor.starting import fork_first

    first = None
    if settings.worker_children == "fork":
        from .child.template import main as be_template

        first = fork_first(partial(be_template, settings=settings))
    try:
        with postgresql_or_exit(PROGRAM):
            code = serve(settings, {k: v for k, v in overrides.items() if v is not None}, first)
    except MetricsPortTaken as e:
        fail(PROGRAM, str(e), FAILED)
    except ExportsMisconfigured as e:
        fail(PROGRAM, str(e), USAGE)
    raise typer.Exit(code)


@app.command()
def types(
    as_json: AsJson = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where a kit is left out, as when an image is built.")
    ] = False,
    log_level: LogLevel = None,
) -> None:
    """List the task types that a worker of TASKYARD_WORKER_QUEUES can run; diagnostics.* where TASKYARD_DIAGNOSTICS is
    set.

    Examples:

      taskyard-worker types --json

      TASKYARD_KITS=mail,files taskyard-worker types --strict
    """
    settings = prepared(log_level)
    skills = _skills(settings, settings.worker_queues or settings.queues)
    skills.tell_left_out()
    catalogue = skills.catalogue
    rows = [
        {
            "name": name,
            "version": catalogue[name].version,
            "queue": catalogue[name].queue,
            "kit": skills.kits[name].name,
            "description": catalogue[name].description,
            "function": _place(catalogue[name].function),
        }
        for name in catalogue.names
    ]
    print_rows(["name", "version", "queue", "kit", "description"], rows, as_json)
    if strict and skills.left_out:
        raise typer.Exit(FAILED)


@app.command("run-task")
def run_task(
    name: Annotated[str, typer.Argument(help="The task type.")],
    params: Annotated[str, typer.Argument(help="Its parameters as JSON, or @FILE.")] = "{}",
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Run one task in this process, without any server, and print its outcome.

    Examples:

      taskyard-worker run-task diagnostics.echo '{"value": 1}'

      taskyard-worker run-task email.send @mail.json
    """
    settings = settings_or_exit(PROGRAM, log_level=log_level)
    skills = _skills(settings)
    skills.tell_left_out()
    from taskyard.domain.errors import TaskyardError
    from taskyard.running.trial import run_task as run_here

    if log_level is not None:
        # The task's own lines are printed below in any case; with a log level they come twice.
        log_to_stderr(settings, log_level)
    try:
        given = parse_params(Path(params[1:]).read_text() if params.startswith("@") else params)
        report = run_here(name, given, platform=settings)
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


@app.command("wait-for-schema")
def wait(seconds: Seconds = 600.0, log_level: LogLevel = None) -> None:
    """Wait until PostgreSQL answers and `taskyard-api migrate` has brought it to this release's schema.

    Example: taskyard-worker wait-for-schema --seconds 60
    """
    wait_for_schema(PROGRAM, settings_or_exit(PROGRAM, log_level=log_level, needs=("database_url",)), seconds)


@app.command()
def healthcheck(
    ready: Annotated[bool, typer.Option("--ready", help="Whether it takes work, too.")] = False,
    log_level: LogLevel = None,
) -> None:
    """Exit 0 while the worker of this host (or container) is alive; for container health checks.

    Alive means that the loops of a child turn, so that tasks can be fetched and recorded. During an outage of Redis or
    PostgreSQL the worker stays alive; it is not ready.

    Example: taskyard-worker healthcheck --ready
    """
    from taskyard.telemetry.heartbeat import Heartbeat

    heartbeat = Heartbeat("worker", settings_or_exit(PROGRAM, log_level=log_level).health_file)
    if problem := heartbeat.unready() if ready else heartbeat.problem():
        fail(PROGRAM, problem, FAILED)


def _skills(settings: Settings, queues: Collection[str] | None = None) -> Skills:
    """Ends the program with 2 and one line where a task module or a key is wrong."""
    from .child.process import in_one_line
    from .child.skills import Skills

    try:
        return Skills.load(settings, queues)
    except Exception as e:  # noqa: BLE001 - a task module may raise anything at its import
        fail(PROGRAM, in_one_line(e), USAGE)


def _place(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _fault(outcome: Any) -> dict[str, Any] | None:
    fault = getattr(outcome, "fault", None)
    return {"code": fault.code, "message": fault.message, "type": fault.type} if fault else None


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
