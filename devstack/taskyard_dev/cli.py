"""`taskyard up`: a command of the `taskyard` program, found by its entry point."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from taskyard.commands import AWAY, FAILED, LogLevel, settings_or_exit
from taskyard_dev.console import Console
from taskyard_dev.errors import ServerAway, StackError
from taskyard_dev.layout import Plan
from taskyard_dev.stack import run


def up(
    workers: Annotated[int, typer.Option(min=1, max=16, help="General workers, next to the one for geo.")] = 1,
    schedulers: Annotated[int, typer.Option(min=1, max=8, help="One leads, the others stand by.")] = 1,
    api_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            envvar="TASKYARD_API_PORT",
            help="Where the API listens; by default 8000, or the next free one.",
        ),
    ] = None,
    console: Annotated[bool, typer.Option("--console/--no-console", help="Whether to start the console.")] = True,
    data_dir: Annotated[
        Path, typer.Option(envvar="TASKYARD_DATA_DIR", help="Where everything is kept.", file_okay=False)
    ] = Path(".taskyard"),
    log_level: LogLevel = None,
) -> None:
    """Start the whole stack on this machine: PostgreSQL, Valkey, scheduler, workers, API, console.

    Ctrl-C stops it; the data stays. TASKYARD_DATABASE_URL and TASKYARD_REDIS_URL name servers of your own instead of
    those. Two stacks side by side need two data directories:

        TASKYARD_DATA_DIR=/tmp/other taskyard up --workers 2 --schedulers 2
    """
    settings_or_exit("taskyard up", log_level=log_level)
    plan = Plan(
        data_dir.absolute(),
        workers=workers,
        schedulers=schedulers,
        api_port=api_port,
        has_console=console,
        log_level=log_level,
    )
    try:
        run(plan, Console())
    except StackError as error:
        sys.stderr.write(f"taskyard up: {error}\n")
        raise typer.Exit(AWAY if isinstance(error, ServerAway) else FAILED) from None
