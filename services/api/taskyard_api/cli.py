"""`taskyard-api`: the commands of the API service."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from taskyard.commands import (
    AWAY,
    FAILED,
    SERVERS,
    USAGE,
    AsJson,
    DatabaseUrl,
    LogLevel,
    command_engine,
    print_json,
    typer_app,
)
from taskyard.output import run_program
from taskyard.schema_wait import Seconds, wait_for_schema

from . import keys_cli, program, roles_cli, types_cli

if TYPE_CHECKING:
    import socket

    from taskyard.settings import Settings

    from .processes import Member

app = typer_app(program.NAME, "Taskyard's HTTP API: serves it, makes its keys, brings its database up to date.")
app.add_typer(keys_cli.app, name="keys")
app.add_typer(roles_cli.app, name="roles")
app.add_typer(types_cli.app, name="types")


def main() -> None:
    run_program(program.NAME, app)


@app.command(
    epilog="Examples:\n\n  taskyard-api serve\n\n  taskyard-api serve --host 0.0.0.0 --port 8080 --metrics-port 9100"
    "\n\n  taskyard-api serve --processes 4"
)
def serve(
    host: Annotated[
        str | None, typer.Option("--host", envvar="TASKYARD_API_HOST", help="Address to listen on.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", envvar="TASKYARD_API_PORT", help="0: a free one.")] = None,
    fd: Annotated[
        int | None, typer.Option("--fd", min=3, help="Listen on this inherited socket instead, bound by the parent.")
    ] = None,
    metrics_host: Annotated[
        str | None, typer.Option("--metrics-host", envvar="TASKYARD_METRICS_HOST", help="For /metrics.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", envvar="TASKYARD_METRICS_PORT", help="0: a free one.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", min=1, max=64, envvar="TASKYARD_API_PROCESSES", help="How many serve the address together."
        ),
    ] = None,
    member: Annotated[str | None, typer.Option("--member", hidden=True, help="Its place among several.")] = None,
    log_level: LogLevel = None,
) -> None:
    """Serve the API until SIGTERM or Ctrl-C; what was accepted is written and published before it ends."""
    from taskyard.storage.chosen import missing_in_production
    from taskyard.telemetry.metrics import MetricsPortTaken

    from .processes import Member
    from .room import give_large_memory_back

    settings = program.begin(
        needs=(*SERVERS, "secret_keys"),
        api_host=host,
        api_port=port,
        api_processes=processes,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_level=log_level,
    )
    if problem := missing_in_production(settings):
        program.fail(problem, USAGE)
    # How long a thread waits for a busy event loop to yield the interpreter (the default is 5 ms): a flush whose
    # answer has arrived would otherwise wait that long.
    sys.setswitchinterval(0.001)
    give_large_memory_back()
    try:
        place = None if member is None else Member.read(member)
    except ValueError:
        program.fail("--member is for the processes that --processes starts", USAGE)
    try:
        if place is None and settings.api_processes > 1:
            _keep(settings, fd)
        else:
            _serve(settings, fd, place)
    except MetricsPortTaken as e:
        program.fail(str(e), FAILED)


def _keep(settings: Settings, descriptor: int | None) -> None:
    """Keeps several processes, without what serves requests in memory. Raises MetricsPortTaken."""
    from .processes import keep

    code = keep(settings, _listener(settings, descriptor))
    if code:
        raise typer.Exit(code)


def _serve(settings: Settings, descriptor: int | None, place: Member | None) -> None:
    """Raises MetricsPortTaken."""
    import structlog

    from taskyard.catalogue.secrets import SecretsUnreadable
    from taskyard.telemetry.exports import start_exports

    from . import server
    from .composition import build

    try:
        exports = start_exports("api", settings)
        service = build(settings, exports, place)
    except (ValueError, SecretsUnreadable) as e:
        program.fail(str(e), USAGE)
    listener = _listener(settings, descriptor)
    metrics = service.metrics.serve(settings.metrics_host, settings.metrics_port) if place is None else None
    # All objects so far are permanent. Requests leave few cycles, and collecting at every 700 allocations would cost a
    # batch of a hundred tasks several passes.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    if metrics is not None:
        address = listener.getsockname()
        structlog.get_logger(__name__).info("serving", host=address[0], port=address[1], metrics_port=metrics.port)
    try:
        started = server.serve(service, listener, stop_delay=settings.api_stop_delay, member=place)
    finally:
        if metrics is not None:
            metrics.stop()
        exports.stop()
    if not started:
        raise typer.Exit(FAILED)


def _listener(settings: Settings, descriptor: int | None) -> socket.socket:
    from .listener import inherited, listen

    try:
        return listen(settings.api_host, settings.api_port) if descriptor is None else inherited(descriptor)
    except OSError as e:
        where = f"{settings.api_host}:{settings.api_port}" if descriptor is None else f"descriptor {descriptor}"
        program.fail(f"cannot listen on {where}: {e.strerror}", FAILED)


@app.command(epilog="Example:\n\n  taskyard-api openapi > openapi.json")
def openapi(log_level: LogLevel = None) -> None:
    """Print the OpenAPI 3.1 document; needs no server."""
    program.begin(log_level=log_level)
    from .app import ROUTES
    from .openapi import document

    print_json(document(ROUTES))


@app.command(epilog="Examples:\n\n  taskyard-api migrate\n\n  taskyard-api migrate --json")
def migrate(database_url: DatabaseUrl = None, as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Bring the database to the newest schema; harmless when repeated or run twice at a time.

    Where TASKYARD_TASK_DATABASE_URL is set, its role is made and granted what tasks need, and nothing of the ledger.
    """
    from taskyard.lifecycle.workers import ensure_queues
    from taskyard.store import ledger, task_role_grants
    from taskyard.store import migrate as migrations

    settings = program.begin(needs=["database_url"], database_url=database_url, log_level=log_level)
    if ledger.is_pooled(settings.database_url.get_secret_value()):
        program.fail("migrate needs an address that leads to PostgreSQL itself: this one says pgbouncer=true", USAGE)
    with command_engine(program.NAME, settings) as engine:
        revision = migrations.upgrade(settings.database_url.get_secret_value())
        ledger.run(engine, lambda conn: ensure_queues(conn, settings.queues))
        if settings.task_database_url is not None:
            try:
                task_role_grants.prepare(
                    settings.database_url.get_secret_value(), settings.task_database_url.get_secret_value()
                )
            except task_role_grants.RoleUnusable as e:
                program.fail(str(e), FAILED)
    if as_json:
        print_json({"revision": revision})
    else:
        typer.echo(f"The database is at revision {revision}.")


@app.command("wait-for-schema", epilog="Example:\n\n  taskyard-api wait-for-schema --seconds 60")
def wait(seconds: Seconds = 600.0, log_level: LogLevel = None) -> None:
    """Wait until PostgreSQL answers and `taskyard-api migrate` has brought it to this release's schema."""
    wait_for_schema(program.NAME, program.begin(log_level=log_level, needs=("database_url",)), seconds)


@app.command(epilog="Examples:\n\n  taskyard-api check\n\n  taskyard-api check --json")
def check(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Check the settings, PostgreSQL, its schema, the role of tasks where it is set, and Redis.

    Exits with 3 where one of them is away.
    """
    from .checks import check as run_checks

    settings = program.begin(needs=SERVERS, log_level=log_level)
    found = run_checks(settings)
    if as_json:
        print_json({c.name: {"ok": c.ok, "says": c.says} for c in found})
    else:
        for c in found:
            typer.echo(f"{c.name:10} {'ok' if c.ok else 'FAILED':7} {c.says}")
    if any(c.away for c in found):
        raise typer.Exit(AWAY)
    if not all(c.ok for c in found):
        raise typer.Exit(FAILED)


if __name__ == "__main__":
    main()
