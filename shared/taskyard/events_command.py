"""`taskyard events`: what happens to tasks, as it happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer

from taskyard_client import Change, Client, Missed, TaskEvent

from .api_commands import Key, Url, client_or_exit
from .commands import AsJson, LogLevel
from .output import visible

_PROGRAM = "taskyard"
_COLOURS = {
    "running": "cyan",
    "started": "cyan",
    "succeeded": "green",
    "failed": "red",
    "crashed": "red",
    "retrying": "yellow",
    "cancelled": "yellow",
}

EXAMPLES = (
    "Examples:\n\n  taskyard events --queue default --state failed,retrying\n\n"
    "  taskyard events --name email.send --json | jq -r .task_id\n\n  taskyard events --task 0193...\n\n"
    "  taskyard events --state failed --limit 1 && echo a task has failed"
)


def events(
    state: Annotated[
        str | None, typer.Option("--state", help="Tasks that are now so; several with commas: failed,retrying.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "--type", help="Of this task type.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="In this queue.")] = None,
    workflow: Annotated[UUID | None, typer.Option("--workflow", help="Steps of this workflow.")] = None,
    task: Annotated[
        UUID | None, typer.Option("--task", help="This task: its timeline from the beginning to its end.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many.")] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Print what happens to tasks, live, until Ctrl-C: time, task, state, type, queue and attempt.

    A broken connection is made again. The timeline of one task goes on where it was; changes of all tasks are not kept,
    so a line says where some may be missing. --json: one JSON object a line.
    """
    if task is not None and (state or name or queue or workflow):
        raise typer.BadParameter("--task follows one task: the other filters do not go with it")
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        told = 0
        for one in _followed(client, task, state=state, name=name, queue=queue, workflow_id=workflow):
            if isinstance(one, Missed):
                _say_missed(one, as_json=as_json)
                continue
            if as_json:
                _print_json(_json(one))
            else:
                _print(_line(one))
            told += 1
            if told == limit:
                return


def _followed(client: Client, task_id: UUID | None, **filters: Any) -> Iterator[Change | Missed | TaskEvent]:
    if task_id is None:
        yield from client.changes(**filters)
    else:
        client.task(task_id)  # one that does not exist is told before anything is followed
        yield from client.events(task_id)


def _print(line: str) -> None:
    """At once: a pipe's reader must not wait for a full buffer."""
    typer.echo(line)
    sys.stdout.flush()


def _print_json(shown: dict[str, Any]) -> None:
    _print(visible(orjson.dumps(shown).decode()))


def _json(one: Change | TaskEvent) -> dict[str, Any]:
    shown = one.as_sent()
    return {"at": _now(), **shown} if isinstance(one, Change) else shown


def _now() -> str:
    """Changes of all tasks carry no time: this is when they arrived."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _say_missed(missed: Missed, *, as_json: bool) -> None:
    """On standard error; with --json an object among the others, because who counts events has to know."""
    if as_json:
        _print_json({"at": _now(), "missed": missed.lost})
    elif missed.lost is None:
        typer.echo("the connection was broken: changes may be missing here", err=True)
    else:
        typer.echo(f"{missed.lost} changes came too fast and are missing here", err=True)


def _line(one: Change | TaskEvent) -> str:
    if isinstance(one, TaskEvent):
        return _step(one)
    attempt = f"  attempt {one.attempt}" if one.attempt else ""
    where = f"{visible(one.name)}  queue {visible(one.queue)}{attempt}"
    return f"{_clock(datetime.now(UTC))}  {one.task_id}  {_styled(one.state, 9)}  {where}"


def _step(event: TaskEvent) -> str:
    from .watching import words

    data = event.data
    said = words(event.kind, event.attempt or 0, data)
    if event.kind == "progress" and data.get("percent") is not None:
        said = f"{data['percent']:g} %  {said}"
    return f"{_clock(event.at or datetime.now(UTC))}  {_styled(event.kind, 19)}  {visible(said)}".rstrip()


def _clock(at: datetime) -> str:
    """In this machine's zone, as the clock of the person who reads it."""
    return at.astimezone().strftime("%H:%M:%S")


def _styled(state: str, width: int) -> str:
    return typer.style(f"{visible(state).replace('_', ' '):<{width}}", fg=_COLOURS.get(state))
