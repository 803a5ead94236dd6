"""`taskyard`: tasks and queues over HTTP, events, the doctor, and the commands of other distributions (entry points
`taskyard.commands`)."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer

from taskyard_client import Client, Task
from taskyard_client.explanations import Reason
from taskyard_client.models import Progress

from . import changes_command, doctor_command, events_command, queues_command
from .api_commands import Key, Url, client_or_exit, language_of
from .changes_command import TaskId
from .commands import FAILED, USAGE, AsJson, LogLevel, parse_json, parse_params, print_json, typer_app
from .output import run_program, visible

PROGRAM = "taskyard"

app = typer_app(PROGRAM, "Taskyard: background tasks, submitted and watched.")
tasks = typer_app("tasks", "Submit, watch, change, cancel and retry tasks.")
app.add_typer(tasks, name="tasks")
app.add_typer(queues_command.queues, name="queues")
tasks.command("change", epilog=changes_command.CHANGE_EXAMPLES)(changes_command.change)
tasks.command("cancel", epilog=changes_command.CANCEL_EXAMPLES)(changes_command.cancel)
tasks.command("discard", epilog=changes_command.DISCARD_EXAMPLE)(changes_command.discard)
tasks.command("restore", epilog=changes_command.RESTORE_EXAMPLE)(changes_command.restore)
app.command("doctor", epilog=doctor_command.EXAMPLES)(doctor_command.doctor)
app.command("events", epilog=events_command.EXAMPLES)(events_command.events)

_SHOWN_HOLDERS = 5

WatchIt = Annotated[bool, typer.Option("--watch", help="Stay and watch it.")]


def main() -> None:
    run_program(PROGRAM, _run)


def _run() -> None:
    if not all(map(_is_text, sys.argv)):
        typer.echo(f"{PROGRAM}: an argument is not text in UTF-8", err=True)
        sys.exit(USAGE)
    for entry in entry_points(group="taskyard.commands"):
        # Only the command that was asked for is imported: `watch` must not wait for the development stack to load.
        if len(sys.argv) < 2 or sys.argv[1] in {entry.name, "-h", "--help"}:
            _add(entry)
    app()


def _is_text(argument: str) -> bool:
    """Bytes that are not text arrive as lone surrogates, which JSON cannot represent."""
    return not any("\ud800" <= c <= "\udfff" for c in argument)


def _add(entry: EntryPoint) -> None:
    try:
        command = entry.load()
    except ImportError as e:
        reason = f"`taskyard {entry.name}` cannot be used here: {e}"

        def command() -> None:
            typer.echo(reason, err=True)
            raise typer.Exit(FAILED)

        command.__doc__ = f"(not usable here: {e})"
    app.command(entry.name)(command)


@tasks.command(
    epilog="Examples:\n\n  taskyard tasks submit diagnostics.echo '{\"value\": 1}'\n\n"
    "  taskyard tasks submit email.send --param to_email=a@example.org --param subject=Hi"
    " --param text=Hello --watch"
)
def submit(
    name: Annotated[str, typer.Argument(help="The task type.")],
    params: Annotated[str, typer.Argument(help="Its parameters, as a JSON object.")] = "{}",
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="name=value; the value is JSON, or else text. Repeat it."),
    ] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="Instead of the type's queue.")] = None,
    delay: Annotated[float | None, typer.Option("--delay", help="Seconds from now.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Repeat it for several.")] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", help="The same key and task again: the first answer again."),
    ] = None,
    watch_it: WatchIt = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Submit a task; prints its id."""
    if delay is not None and not math.isfinite(delay):
        raise typer.BadParameter("--delay must be a number of seconds")
    if idempotency_key is not None and not (
        1 <= len(idempotency_key) <= 255 and idempotency_key.isascii() and idempotency_key.isprintable()
    ):
        raise typer.BadParameter("--idempotency-key must have 1 to 255 characters of printable ASCII")
    wanted = _params(params, param or [])
    with client_or_exit(PROGRAM, url, api_key, log_level) as client:
        task = client.submit(name, wanted, queue=queue, delay_seconds=delay, tags=tag, idempotency_key=idempotency_key)
        _watch_or_say(client, task, str(task.id), watch_it=watch_it, as_json=as_json)


def _params(text: str, pairs: list[str]) -> dict[str, Any]:
    try:
        found = parse_params(text)
    except ValueError as e:
        raise typer.BadParameter(str(e)) from None
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--param {pair}: write name=value")
        try:
            found[name] = parse_json(value)
        except ValueError:
            found[name] = value
    return found


@tasks.command(
    epilog="Examples:\n\n  taskyard tasks status 0193...\n\n  taskyard tasks status 0193... --wait 30 --json"
)
def status(
    task_id: TaskId,
    wait: Annotated[float, typer.Option("--wait", min=0, max=60, help="Seconds to wait for its end.")] = 0,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Print where a task is."""
    with client_or_exit(PROGRAM, url, api_key, log_level) as client:
        task = client.task(task_id, wait_seconds=wait)
    if as_json:
        print_json(task.as_sent())
        return
    typer.echo(f"{task.id}  {task.name}  {task.state}")
    if task.progress is not None:
        typer.echo(f"  progress  {_percent(task.progress)}{visible(task.progress.message)}")
    typer.echo(f"  attempt   {task.attempt} of {task.max_attempts}{_crashes(task)}, queue {task.queue}")
    if task.cancel_requested_at is not None and task.finished_at is None:
        typer.echo(f"  asked to stop at {task.as_sent()['cancel_requested_at']}")
    if task.error is not None:
        typer.echo(f"  error     {visible(task.error.message)} ({visible(task.error.code)})")
    if task.result is not None:
        typer.echo(f"  result    {visible(orjson.dumps(task.result).decode())}")


@tasks.command(
    epilog="Examples:\n\n  taskyard tasks explain 0193...\n\n  taskyard tasks explain 0193... --lang de --json"
)
def explain(
    task_id: TaskId,
    lang: Annotated[
        str | None, typer.Option("--lang", help="The language of the words: en, de, fr, hu. By default the terminal's.")
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Print why a task is where it is: what it waits for, or how it ended, and what became of its attempts. For a
    limit: which tasks hold it, since when.
    """
    language = lang or language_of(os.environ)
    with client_or_exit(PROGRAM, url, api_key, log_level, language=language) as client:
        found = client.explain(task_id)
    if as_json:
        print_json(found.as_sent())
        return
    typer.echo(f"{found.task_id}  {found.state}")
    for reason in found.reasons:
        typer.echo(f"  {reason.code:<15} {visible(reason.message)}")
        for line in _holders(reason):
            typer.echo(f"  {'':<15} {line}")
    for attempt in found.attempts:
        typer.echo(f"  {f'attempt {attempt.attempt}':<15} {visible(attempt.message)}")


def _holders(reason: Reason) -> Iterator[str]:
    """Where as many hold a limit as may: else it is not they who keep others waiting."""
    held = reason.held or 0
    if held < (reason.as_sent().get("concurrent") or math.inf):
        return
    shown = reason.holders[:_SHOWN_HOLDERS]
    for holder in shown:
        yield f"{holder.task_id}  {visible(holder.name)}  {holder.state}  {holder.since:%Y-%m-%dT%H:%M:%SZ}"
    if held > len(shown):
        yield f"+ {held - len(shown)}"


def _crashes(task: Task) -> str:
    # Crashes have their own budget, apart from that of attempts.
    return f" ({task.crashes} ended its process)" if task.crashes else ""


def _percent(progress: Progress) -> str:
    return "" if progress.percent is None else f"{progress.percent:g} %  "


@tasks.command(epilog="Examples:\n\n  taskyard tasks watch 0193...\n\n  taskyard tasks watch 0193... --json")
def watch(
    task_id: TaskId, url: Url = None, api_key: Key = None, as_json: AsJson = False, log_level: LogLevel = None
) -> None:
    """Follow a task to its end with a progress bar; exits with 1 where it did not succeed. --json: its
    events, one a line.
    """
    with client_or_exit(PROGRAM, url, api_key, log_level) as client:
        client.task(task_id)
        _watch(client, task_id, as_json=as_json)


def _watch(client: Client, task_id: UUID, *, as_json: bool) -> None:
    if as_json:
        for event in client.events(task_id):
            typer.echo(visible(orjson.dumps(event.as_sent()).decode()))
        task = client.task(task_id)
    else:
        from .watching import watch_task

        task = watch_task(client, task_id)
    if task.state != "succeeded":
        raise typer.Exit(FAILED)


def _watch_or_say(client: Client, task: Task, line: str, *, watch_it: bool, as_json: bool) -> None:
    if watch_it:
        _watch(client, task.id, as_json=as_json)
    elif as_json:
        print_json(task.as_sent())
    else:
        typer.echo(line)


@tasks.command(epilog="Example:\n\n  taskyard tasks retry 0193... --watch")
def retry(
    task_id: TaskId,
    watch_it: WatchIt = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Run a failed or cancelled task again: same id, fresh budgets."""
    with client_or_exit(PROGRAM, url, api_key, log_level) as client:
        task = client.retry(task_id)
        _watch_or_say(client, task, f"{task.id} is {task.state} again.", watch_it=watch_it, as_json=as_json)


if __name__ == "__main__":
    main()
