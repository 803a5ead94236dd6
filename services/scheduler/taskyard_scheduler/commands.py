"""The commands of `taskyard-scheduler`.

Exit codes: 0 fine, 1 failed, 2 usage, 3 a dependency is away.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from taskyard.commands import (
    AWAY,
    FAILED,
    NOT_MIGRATED,
    AsJson,
    LogLevel,
    fail,
    print_json,
    settings_or_exit,
    typer_app,
)

from . import dead_letters

PROGRAM = "taskyard-scheduler"
_SHOWN = 10

app = typer_app(PROGRAM, "Taskyard's scheduler: one process leads, any number stand by.")
app.add_typer(dead_letters.app, name="dead-letters")


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
    health_file: Annotated[
        Path | None,
        typer.Option("--health-file", envvar="TASKYARD_HEALTH_FILE", help="What healthcheck looks at."),
    ] = None,
    log_level: LogLevel = None,
) -> None:
    """Leads, or stands by until the leader is gone. Ends on SIGTERM or Ctrl-C and gives the lease up at once.

    PostgreSQL and Redis come from TASKYARD_DATABASE_URL and TASKYARD_REDIS_URL.
    """
    from taskyard.telemetry.metrics import MetricsPortTaken

    from .service import serve

    settings = settings_or_exit(
        PROGRAM,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        leader_lease_seconds=lease,
        health_file=health_file,
        log_level=log_level,
    )
    try:
        code = serve(settings)
    except MetricsPortTaken as e:
        fail(PROGRAM, str(e), FAILED)
    raise typer.Exit(code)


@app.command(epilog="Examples:  taskyard-scheduler reconcile --dry-run  |  taskyard-scheduler reconcile --json")
def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Compares queued rows with what Redis knows and publishes what is missing.

    The leader does this all the time; by hand it tells how things stand. Missing is what has been queued for over 30
    seconds, is on nobody's way to Redis, and is not known there at two looks. Exit code 1: --dry-run found something.
    """
    from sqlalchemy.exc import ProgrammingError

    from taskyard.broker.connect import make_redis
    from taskyard.broker.names import Names
    from taskyard.broker.publisher import make_publisher
    from taskyard.domain.errors import Unavailable
    from taskyard.store.ledger import make_engine
    from taskyard.telemetry.logging import set_up_logging

    from .inventory import Inventory
    from .survey import publish_again, survey

    settings = settings_or_exit(PROGRAM, log_level=log_level)
    set_up_logging("scheduler", level=log_level or "warning", style=settings.log_format)
    names = Names(settings.namespace)
    engine = make_engine(
        settings.database_url.get_secret_value(), pool_size=1, application_name="taskyard-scheduler reconcile"
    )
    client = make_redis(settings.redis_url.get_secret_value())
    publisher = make_publisher(settings.redis_url.get_secret_value(), names)
    try:
        inventory = Inventory(client, names)
        publish = None if dry_run else partial(publish_again, engine, publisher, inventory)
        found = survey(engine, client, names, inventory, queues=settings.queues, publish=publish)
    except Unavailable as e:
        fail(PROGRAM, f"{type(e).__name__}: {str(e).splitlines()[0]}", AWAY)
    except ProgrammingError:
        fail(PROGRAM, NOT_MIGRATED, FAILED)
    finally:
        publisher.client.close()
        client.close()
        engine.dispose()
    answer: dict[str, Any] = {
        "lost_everything": found.lost_everything,
        "missing": found.missing,
        "published": found.published,
        "queues": [asdict(queue) for queue in found.queues],
        "task_ids": found.named,
    }
    if as_json:
        print_json(answer)
    else:
        width = max(len(queue.queue) for queue in found.queues)
        typer.echo(f"{'queue':<{width}}  {'queued':>10}  {'missing':>10}")
        for queue in found.queues:
            typer.echo(f"{queue.queue:<{width}}  {queue.queued:>10,}  {queue.missing:>10,}")
        if found.lost_everything:
            typer.echo("Redis has lost everything: the leader publishes all queued tasks.")
        for task_id in found.named[:_SHOWN]:
            typer.echo(f"  {task_id}")
        if found.missing > _SHOWN:
            typer.echo(f"  and {found.missing - _SHOWN:,} more (--json names up to 1,000)")
        typer.echo(
            f"{found.missing:,} would be published again." if dry_run else f"{found.published:,} published again."
        )
    raise typer.Exit(FAILED if found.missing and dry_run else 0)


@app.command(epilog="Example:  taskyard-scheduler healthcheck --health-file /run/taskyard/scheduler.alive")
def healthcheck(
    health_file: Annotated[
        Path | None,
        typer.Option("--health-file", envvar="TASKYARD_HEALTH_FILE", help="The file whose age is looked at."),
    ] = None,
    log_level: LogLevel = None,
) -> None:
    """Exit code 0 while the scheduler's main loop turns, as leader or standby; touches no server."""
    from .health import healthcheck as check

    settings_or_exit(PROGRAM, log_level=log_level)
    raise typer.Exit(check(str(health_file) if health_file else None))
