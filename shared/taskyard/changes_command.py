"""`taskyard tasks change` and `taskyard tasks cancel`, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from taskyard_client import Client

from .api_commands import Key, Url, client_or_exit
from .commands import USAGE, AsJson, LogLevel, confirm, counted, fail, moment, print_json

_PROGRAM = "taskyard"

# Strictly a UUID: it becomes part of a URL.
TaskId = Annotated[UUID, typer.Argument(help="The task's id.", metavar="TASK_ID")]
Ids = Annotated[list[UUID] | None, typer.Argument(help="Tasks; without any, a filter says which.", metavar="TASK_ID")]

CHANGE_EXAMPLES = (
    "Examples:\n\n  taskyard tasks change 0193... --queue low_priority\n\n"
    "  taskyard tasks change 0193... --run-at 2026-01-31T12:00:00Z --tag import --tag later"
)
CANCEL_EXAMPLES = (
    "Examples:\n\n  taskyard tasks cancel 0193...\n\n  taskyard tasks cancel --queue low_priority --dry-run\n\n"
    "  taskyard tasks cancel --tag import --state queued --yes"
)


def change(
    task_id: TaskId,
    queue: Annotated[str | None, typer.Option("--queue", help="Move it to this queue.")] = None,
    run_at: Annotated[
        datetime | None,
        typer.Option("--run-at", parser=moment, metavar="TIME", help="When it is due; a time that has passed: now."),
    ] = None,
    expires_at: Annotated[
        datetime | None,
        typer.Option("--expires-at", parser=moment, metavar="TIME", help="If not done by then, it fails."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Instead of all it has; repeat it.")] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Change a task that waits: its queue, time, expiry or tags."""
    if not any((queue, run_at, expires_at, tag)):
        fail(_PROGRAM, "say what to change.", USAGE)
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        task = client.change(task_id, queue=queue, run_at=run_at, expires_at=expires_at, tags=tag or None)
    if as_json:
        print_json(task.as_sent())
    else:
        typer.echo(f"{task.id} is {task.state} in {task.queue}.")


def cancel(
    ids: Ids = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only tasks in this state; repeat it for several.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only this task type.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="Only of this queue.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only with this tag.")] = None,
    workflow: Annotated[UUID | None, typer.Option("--workflow", help="Only steps of this workflow.")] = None,
    created_after: Annotated[
        datetime | None, typer.Option("--created-after", parser=moment, metavar="TIME", help="Submitted then or later.")
    ] = None,
    created_before: Annotated[
        datetime | None, typer.Option("--created-before", parser=moment, metavar="TIME", help="Submitted earlier.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them, and show the oldest.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, where a filter says which.")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Cancel tasks: at once where they wait; those that run are asked to stop. Many are cancelled 1,000 a call."""
    filters = {
        "state": state or None,
        "name": name,
        "queue": queue,
        "tag": tag,
        "workflow_id": workflow,
        "created_after": created_after,
        "created_before": created_before,
    }
    has_filter = any(value is not None for value in filters.values())
    if bool(ids) == has_filter:
        fail(_PROGRAM, "say which: by their ids, or by a filter.", USAGE)
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        if ids and len(ids) == 1 and not dry_run:
            answer = client.cancel(ids[0])
            return print_json(answer.as_sent()) if as_json else typer.echo(answer.message)
        if dry_run or not (ids or yes):
            found = client.cancel_many(ids, dry_run=True, **filters)
        if dry_run:
            if as_json:
                return print_json(found.as_sent())
            for task in found.sample:
                typer.echo(f"{task.id}  {task.queue}  {task.name}  {task.state}")
            return typer.echo(f"Would cancel {counted(found.matched)}.")
        if not (ids or yes):
            confirm(_PROGRAM, f"Cancel {counted(found.matched)}?")
        changed = _cancel(client, ids, filters)
    if as_json:
        return print_json({"changed": changed})
    return typer.echo(f"{counted(changed)} cancelled or asked to stop.")


def _cancel(client: Client, ids: list[UUID] | None, filters: dict[str, Any]) -> int:
    """All that match, a call for each 1,000."""
    changed = 0
    while True:
        done = client.cancel_many(ids, **filters)
        changed += done.changed
        if done.changed >= done.matched or not done.changed:
            return changed
