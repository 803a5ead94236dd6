"""`taskyard queues`: see, pause, resume, limit and purge queues over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from taskyard_client import Client, Queue

from .api_commands import Key, Url, client_or_exit
from .commands import FAILED, USAGE, AsJson, LogLevel, confirm, counted, fail, print_json, typer_app
from .output import visible

_PROGRAM = "taskyard"
_WAITING = ("blocked", "scheduled", "queued", "retrying")

queues = typer_app("queues", "See, pause, resume, limit and purge queues.")

Name = Annotated[str, typer.Argument(help="The queue.", metavar="QUEUE")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@queues.command("list", epilog="Examples:\n\n  taskyard queues list\n\n  taskyard queues list --json")
def list_(url: Url = None, api_key: Key = None, as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """List the queues: what waits and runs, as the scheduler counted it last, the workers, and what is set."""
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        found = client.queues.items()
    if as_json:
        print_json([queue.as_sent() for queue in found])
        return
    width = max((len(queue.name) for queue in found), default=5)
    typer.echo(f"{'queue':<{width}}  {'waiting':>9}  {'running':>8}  {'workers':>8}")
    for queue in found:
        waiting = sum(queue.depth.get(state, 0) for state in _WAITING)
        running, workers = queue.depth.get("running", 0), queue.workers or 0
        typer.echo(f"{queue.name:<{width}}  {waiting:>9}  {running:>8}  {workers:>8}{_settings(queue)}")
    if counts := [queue.counted_at for queue in found if queue.counted_at is not None]:
        # The clocks of two machines may differ by some seconds.
        age = max(0, round((datetime.now(UTC) - min(counts)).total_seconds()))
        typer.echo(f"counted {age} s ago")


@queues.command(epilog="Example:\n\n  taskyard queues pause low_priority")
def pause(
    name: Name, url: Url = None, api_key: Key = None, as_json: AsJson = False, log_level: LogLevel = None
) -> None:
    """Begin none of its tasks until it is resumed, through every restart; what runs goes on."""
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        _say(client.queues.pause(name), as_json)


@queues.command(epilog="Example:\n\n  taskyard queues resume low_priority")
def resume(
    name: Name, url: Url = None, api_key: Key = None, as_json: AsJson = False, log_level: LogLevel = None
) -> None:
    """Begin its tasks again."""
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        _say(client.queues.resume(name), as_json)


@queues.command(
    epilog="Examples:\n\n  taskyard queues limit email --per-second 20\n\n"
    "  taskyard queues limit email --concurrent 4 --per-second none"
)
def limit(
    name: Name,
    concurrent: Annotated[
        str | None, typer.Option("--concurrent", metavar="N|none", help="So many of its tasks run at a time.")
    ] = None,
    per_second: Annotated[
        str | None, typer.Option("--per-second", metavar="N|none", help="So many of its tasks begin in a second.")
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Limit a queue, on all workers together, or remove a limit."""
    given = {"concurrent": concurrent, "per_second": per_second}
    limits = {option: _number(option, text) for option, text in given.items() if text is not None}
    if not limits:
        fail(_PROGRAM, "give --concurrent or --per-second.", USAGE)
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        _say(client.queues.limit(name, **limits), as_json)


@queues.command(
    epilog="Examples:\n\n  taskyard queues purge low_priority --dry-run\n\n  taskyard queues purge low_priority --yes"
)
def purge(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the tasks, and show the oldest.")] = False,
    yes: Yes = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Cancel all that waits in a queue; what runs goes on."""
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        if dry_run or not yes:
            found = client.queues.purge(name, dry_run=True)
        if dry_run:
            if as_json:
                print_json(found.as_sent())
                return
            for task in found.sample:
                typer.echo(f"{task.id}  {task.name}  {task.state}")
            typer.echo(f"Would cancel {counted(found.matched)}.")
            return
        if not yes:
            confirm(_PROGRAM, f"Cancel {counted(found.matched)} that wait in {name}?")
        changed, left = _purge(client, name)
        since = client.queues.purge(name, dry_run=True).matched - left
    if as_json:
        print_json({"changed": changed, "left": left, "submitted_since": since})
    else:
        typer.echo(f"{counted(changed)} cancelled.")
        if since > 0:
            typer.echo(f"{counted(since)} submitted since wait in {name}.")
    if left:
        fail(_PROGRAM, f"{counted(left)} left: run this again.", FAILED)


def _purge(client: Client, name: str) -> tuple[int, int]:
    """All that waited when it began, a call for each 10,000; how many were cancelled, and how many are left."""
    done = client.queues.purge(name)
    changed, at = done.changed, done.at
    while done.left and done.changed:
        done = client.queues.purge(name, created_before=at)
        changed += done.changed
    return changed, done.left


def _number(option: str, text: str) -> float | None:
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        raise typer.BadParameter(f"--{option.replace('_', '-')} is a number, or none") from None
    return int(number) if number.is_integer() else number


def _settings(queue: Queue) -> str:
    """What is set on it, for people."""
    told = []
    if queue.paused:
        by = f" by {queue.paused_by}" if queue.paused_by else ""
        told.append(f"paused since {queue.paused_at:%Y-%m-%d %H:%M:%S}{by}")
    if queue.concurrent is not None:
        told.append(f"{queue.concurrent} at a time")
    if queue.per_second is not None:
        told.append(f"{queue.per_second:g} a second")
    return f"  {visible(', '.join(told))}" if told else ""


def _say(queue: Queue, as_json: bool) -> None:
    if as_json:
        print_json(queue.as_sent())
    else:
        typer.echo(f"{queue.name} {_settings(queue).strip() or 'is not paused and has no limits'}")
