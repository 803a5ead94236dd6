"""The commands of `taskyard-scheduler`.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 a server does not answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from taskyard.catalogue.secrets import SecretsUnreadable
from taskyard.commands import FAILED, SERVERS, USAGE, LogLevel, fail, settings_or_exit, typer_app
from taskyard.schema_wait import Seconds, wait_for_schema
from taskyard.telemetry.metrics import MetricsPortTaken
from taskyard.telemetry.trace_variables import ExportsMisconfigured

from . import archive_cli, cli, dead_letters_cli, schedules_cli
from .program import PROGRAM
from .reconcile_cli import reconcile

app = typer_app(PROGRAM, "Taskyard's scheduler: one process leads, any number stand by.")
app.add_typer(dead_letters_cli.app, name="dead-letters")
app.add_typer(archive_cli.app, name="archive")
app.add_typer(schedules_cli.app, name="schedules")

HealthFile = Annotated[
    Path | None,
    typer.Option("--health-file", envvar="TASKYARD_HEALTH_FILE", help="The file whose age healthcheck looks at."),
]


@app.command(epilog="Examples:  taskyard-scheduler run  |  taskyard-scheduler run --metrics-port 9102 --lease 3")
def run(
    metrics_host: Annotated[
        str | None,
        typer.Option("--metrics-host", envvar="TASKYARD_METRICS_HOST", help="Where /metrics listens."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", envvar="TASKYARD_METRICS_PORT", help="Its port; 0: a free one."),
    ] = None,
    lease: Annotated[
        float | None,
        typer.Option(
            "--lease",
            envvar="TASKYARD_LEADER_LEASE_SECONDS",
            help="Seconds after which a dead leader is followed by a standby.",
        ),
    ] = None,
    health_file: HealthFile = None,
    log_level: LogLevel = None,
) -> None:
    """Leads, or stands by until the leader is gone. Ends on SIGTERM or Ctrl-C and gives the lease up at once.

    PostgreSQL and Redis come from TASKYARD_DATABASE_URL and TASKYARD_REDIS_URL.
    """
    from .composition import serve  # with APScheduler, which the other commands do not need

    settings = settings_or_exit(
        PROGRAM,
        needs=SERVERS,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        leader_lease_seconds=lease,
        health_file=health_file,
        log_level=log_level,
    )
    try:
        code = serve(settings)
    except (MetricsPortTaken, SecretsUnreadable) as e:
        fail(PROGRAM, str(e), FAILED)
    except ExportsMisconfigured as e:
        fail(PROGRAM, str(e), USAGE)
    raise typer.Exit(code)


@app.command("wait-for-schema", epilog="Example:  taskyard-scheduler wait-for-schema --seconds 60")
def wait(seconds: Seconds = 600.0, log_level: LogLevel = None) -> None:
    """Wait until PostgreSQL answers and `taskyard-api migrate` has brought it to this release's schema."""
    wait_for_schema(PROGRAM, settings_or_exit(PROGRAM, log_level=log_level, needs=("database_url",)), seconds)


app.command(epilog="Examples:  taskyard-scheduler reconcile --dry-run  |  taskyard-scheduler reconcile --json")(
    reconcile
)


@app.command(epilog="Example:  taskyard-scheduler healthcheck --health-file /run/taskyard/scheduler.alive")
def healthcheck(
    health_file: HealthFile = None,
    log_level: LogLevel = None,
) -> None:
    """Exit code 0 while the scheduler's main loop turns, as leader or standby; touches no server."""
    settings_or_exit(PROGRAM, log_level=log_level)
    raise typer.Exit(cli.healthcheck(str(health_file) if health_file else None))
