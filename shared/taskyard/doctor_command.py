"""`taskyard doctor`. What it does is imported when it runs: the other commands must not wait for it."""

from __future__ import annotations

from typing import Annotated

import typer

from .api_commands import Key, Url, api_settings
from .commands import SERVERS, USAGE, AsJson, LogLevel, fail, print_json

_PROGRAM = "taskyard"

EXAMPLES = (
    "Exit codes: 0 nothing is broken, 1 something is, 2 wrong usage, 3 the API cannot be reached.\n\n"
    "Examples:\n\n  taskyard doctor\n\n  taskyard doctor --queue default --queue geo_processing --timeout 30\n\n"
    "  taskyard doctor --json | jq '.checks[] | select(.verdict != \"ok\")'"
)


def doctor(
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", help="Send an echo through this queue; repeat it. By default each that is served."),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=600, help="Seconds until an echo has to be back.")
    ] = 15.0,
    slow_echo: Annotated[
        float, typer.Option("--slow-echo", min=0, help="Seconds from which on an echo is called slow.")
    ] = 1.0,
    slow_answer: Annotated[
        float, typer.Option("--slow-answer", min=0, help="Seconds from which on an answer of a part is called slow.")
    ] = 0.5,
    servers: Annotated[
        bool | None,
        typer.Option(
            "--servers/--no-servers",
            help="Ask PostgreSQL and Redis directly, too; by default where both addresses are set.",
            show_default=False,
        ),
    ] = None,
    console: Annotated[
        bool | None,
        typer.Option(
            "--console/--no-console",
            help="Look at the console, too; by default where TASKYARD_CONSOLE_URL or TASKYARD_CONSOLE_PORT is set.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Send a task through every part of the installation, and name the part that is slow or broken.

    It looks at the way to the API, the API, the key, PostgreSQL, Redis, the scheduler, the queues and their workers,
    and sends a task without side effects, `taskyard.echo`, through each queue. What does not come back is cancelled.
    Where it is told of a console, it signs in there.

    The key needs the scopes read, submit and manage; with fewer, fewer parts are looked at.
    """
    from .doctor.echo import Patience
    from .doctor.examination import Examination
    from .doctor.findings import Report
    from .doctor.rendering import Screen

    settings = api_settings(_PROGRAM, url, api_key, log_level)
    if servers is None:
        servers = set(SERVERS) <= settings.model_fields_set
    if console is None:
        console = not {"console_url", "console_port"}.isdisjoint(settings.model_fields_set)
    examination = Examination(
        settings.url,
        settings.api_key.get_secret_value() if settings.api_key else None,
        queues=tuple(queue or ()),
        patience=Patience(timeout, slow_echo, slow_answer),
        servers=settings if servers else None,
        console=settings.console_address if console else None,
    )
    screen = Screen(shown=not as_json)
    found = []
    try:
        findings = examination.findings()
    except ValueError as e:
        fail(_PROGRAM, str(e), USAGE)
    for finding in findings:
        found.append(finding)
        screen.show(finding)
    report = Report(settings.url, found)
    if as_json:
        print_json(report.as_json())
    else:
        screen.close(report)
    raise typer.Exit(report.exit_code)
