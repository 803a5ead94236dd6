"""`taskyard-console`: the commands of the console service."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from taskyard.commands import AWAY, FAILED, USAGE, AsJson, LogLevel, print_json, typer_app
from taskyard.output import run_program

from . import program

app = typer_app(program.NAME, "Taskyard's console: serves it, makes links and passwords to sign in with.")


def main() -> None:
    run_program(program.NAME, app)


@app.command(
    epilog="Examples:\n\n  taskyard-console serve\n\n  taskyard-console serve --host 0.0.0.0 --port 8100"
    " --metrics-port 9150"
)
def serve(
    host: Annotated[
        str | None, typer.Option("--host", envvar="TASKYARD_CONSOLE_HOST", help="Address to listen on.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", envvar="TASKYARD_CONSOLE_PORT", help="0: a free one.")] = None,
    metrics_host: Annotated[
        str | None, typer.Option("--metrics-host", envvar="TASKYARD_METRICS_HOST", help="For /metrics.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", envvar="TASKYARD_METRICS_PORT", help="0: a free one.")
    ] = None,
    log_level: LogLevel = None,
) -> None:
    """Serve the console until SIGTERM or Ctrl-C."""
    import structlog

    from taskyard.telemetry.exports import start_exports
    from taskyard.telemetry.metrics import MetricsPortTaken

    from . import server
    from .composition import build

    settings = program.begin(
        needs=("url", "console_secrets"),
        console_host=host,
        console_port=port,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_level=log_level,
    )
    try:
        exports = start_exports("console", settings)
        service = build(settings, exports)
        listener = server.listen(settings.console_host, settings.console_port)
        metrics = service.metrics.serve(settings.metrics_host, settings.metrics_port)
    except ValueError as e:
        program.fail(str(e), USAGE)
    except MetricsPortTaken as e:
        program.fail(str(e), FAILED)
    except OSError as e:
        program.fail(f"cannot listen on {settings.console_host}:{settings.console_port}: {e.strerror}", FAILED)
    address = listener.getsockname()
    structlog.get_logger(__name__).info("serving", host=address[0], port=address[1], metrics_port=metrics.port)
    try:
        started = server.serve(service, listener, stop_delay=settings.console_stop_delay)
    finally:
        metrics.stop()
        exports.stop()
    if not started:
        raise typer.Exit(FAILED)


@app.command(epilog="Examples:\n\n  taskyard-console check\n\n  taskyard-console check --json")
def check(as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Check the settings, the API, and the console's own key where it has one.

    Exits with 3 where the API is away.
    """
    from .checks import check as run_checks

    found = run_checks(program.begin(log_level=log_level))
    if as_json:
        print_json({c.name: {"ok": c.ok, "says": c.says} for c in found})
    else:
        for c in found:
            typer.echo(f"{c.name:10} {'ok' if c.ok else 'FAILED':7} {c.says}")
    if any(c.away for c in found):
        raise typer.Exit(AWAY)
    if not all(c.ok for c in found):
        raise typer.Exit(FAILED)


@app.command(epilog="Example:\n\n  taskyard-console link")
def link(log_level: LogLevel = None) -> None:
    """Print a link that signs in once, within five minutes, with the key in TASKYARD_API_KEY.

    It needs the secret of the console that it leads to. A console of several processes takes a link once in each.
    """
    from .composition import vault_of
    from .links import Links

    settings = program.begin(log_level=log_level)
    if settings.api_key is None or not settings.console_secrets:
        program.fail("link needs TASKYARD_API_KEY and TASKYARD_CONSOLE_SECRETS", USAGE)
    token = Links(vault_of(settings)).make(settings.api_key.get_secret_value())
    typer.echo(f"{settings.console_address}/sign-in/link?token={token}")


@app.command(epilog="Example:\n\n  taskyard-console user anna --role manage >> console-users")
def user(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    role: Annotated[str, typer.Option("--role", help="read, manage or admin.")] = "read",
    log_level: LogLevel = None,
) -> None:
    """Print a line for TASKYARD_CONSOLE_USERS; the password is asked for, or read from standard input."""
    from .access import ROLES
    from .passwords import hashed

    program.begin(log_level=log_level)
    if role not in ROLES:
        program.fail(f"--role: must be one of {', '.join(ROLES)}", USAGE)
    if not name or ":" in name:
        program.fail("the name must not be empty, nor have a colon", USAGE)
    is_asked = sys.stdin.isatty()
    password = typer.prompt("Password", hide_input=True, err=True, confirmation_prompt=is_asked)
    typer.echo(f"{name}:{role}:{hashed(password)}")


if __name__ == "__main__":
    main()
