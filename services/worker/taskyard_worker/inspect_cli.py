"""`taskyard-worker inspect`, and what it shares with the other commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskyard.commands import AsJson, LogLevel, command_engine, print_json, settings_or_exit, typer_app
from taskyard.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

PROGRAM = "taskyard-worker"

inspect_app = typer_app("inspect", "What the workers of this installation do, from the ledger.")


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


def _show(
    query: Callable[[Connection], list[dict[str, Any]]], columns: list[str], as_json: bool, log_level: str | None
) -> None:
    from taskyard.store import ledger

    settings = prepared(log_level)
    with command_engine(PROGRAM, settings) as engine:
        rows = ledger.run(engine, query)
    if as_json:
        print_json(rows)
    else:
        print_table(columns, rows)


def print_table(columns: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        values = (row[c] for c in columns)
        table.add_row(*(", ".join(map(str, v)) if isinstance(v, list | tuple) else str(v) for v in values))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
