"""`taskyard tasks change` and `taskyard tasks cancel`, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from taskyard_client import Client
from taskyard_client.change_models import Handled

from .api_commands import Key, Url, client_or_exit
from .commands import FAILED, USAGE, AsJson, LogLevel, confirm, counted, fail, moment, print_json

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
DISCARD_EXAMPLE = "Example:\n\n  taskyard tasks discard 0193... 0194..."
RESTORE_EXAMPLE = "Example:\n\n  taskyard tasks restore 0193..."
Several = Annotated[list[UUID], typer.Argument(help="The tasks' ids.", metavar="TASK_ID...")]


def discard(
    ids: Several, url: Url = None, api_key: Key = None, as_json: AsJson = False, log_level: LogLevel = None
) -> None:
    """Put dead letters away: they stay failed tasks."""
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        _say_handled(client.dead_letters.discard(ids), "discarded", len(ids), as_json=as_json)


def restore(
    ids: Several, url: Url = None, api_key: Key = None, as_json: AsJson = False, log_level: LogLevel = None
) -> None:
    """Take discarding back: they are dead letters again."""
    with client_or_exit(_PROGRAM, url, api_key, log_level) as client:
        _say_handled(client.dead_letters.restore(ids), "restored", len(ids), as_json=as_json)


def _say_handled(handled: Handled, done: str, wanted: int, *, as_json: bool) -> None:
    if as_json:
        print_json(handled.as_sent())
    else:
        typer.echo(f"{counted(handled.changed)} {done}.")
    if handled.changed < wanted:
        fail(_PROGRAM, "the others are not what this changes.", FAILED)


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
    filters: dict[str, Any] = {
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
        changed, is_done, at = _cancel(client, ids, filters)
        since = _since(client, at, filters) if at is not None and not ids else 0
    if as_json:
        print_json({"changed": changed, "is_done": is_done, "submitted_since": since})
    else:
        typer.echo(f"{counted(changed)} cancelled or asked to stop.")
        if since:
            typer.echo(f"{counted(since)} submitted since would match.")
    if not is_done:
        fail(_PROGRAM, "some that match are left: run this again.", FAILED)
    return None


def _cancel(client: Client, ids: list[UUID] | None, filters: dict[str, Any]) -> tuple[int, bool, datetime | None]:
    """All that matched when it began, a call for each 1,000; how many that were, whether none is left, and when it
    began."""
    done = client.cancel_many(ids, count=False, **filters)
    changed, at = done.changed, done.at
    # A producer that goes on submitting must not keep it going.
    filters = {**filters, "created_before": min(filter(None, (filters["created_before"], at)), default=None)}
    while done.has_more and done.changed:
        done = client.cancel_many(ids, count=False, **filters)
        changed += done.changed
    return changed, not done.has_more, at


def _since(client: Client, at: datetime, filters: dict[str, Any]) -> int:
    after = filters["created_after"]
    return client.cancel_many(dry_run=True, **{**filters, "created_after": max(at, after) if after else at}).matched
