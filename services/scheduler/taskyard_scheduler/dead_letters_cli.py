"""`taskyard-scheduler dead-letters`: works on the ledger directly, for when the API is not available."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Connection, Engine

from taskyard.commands import (
    FAILED,
    USAGE,
    AsJson,
    DatabaseUrl,
    LogLevel,
    fail,
    moment,
    print_json,
    settings_or_exit,
    typer_app,
)
from taskyard.lifecycle.committed import Announcer, Committed, commit
from taskyard.lifecycle.dispatch import Immediate
from taskyard.lifecycle.replay import MOST_AT_ONCE, Handled, discard_dead_letters, replay_dead_letters
from taskyard.settings import Settings
from taskyard.store import dead_letters, ledger
from taskyard.store.audit import Actor, actor_here
from taskyard.store.dead_letters import Wanted

from .options import text
from .program import PROGRAM, servers_or_exit

_COMMAND = "dead-letters"
_SAMPLE = 10

app = typer_app(_COMMAND, "Failed tasks that were neither retried nor discarded: list, retry, discard.")

_DONE = {"retry": "will run again", "discard": "discarded"}

Act = Callable[[Connection, int], Committed[Handled]]
Verb = Callable[[Settings, Wanted, Actor, Connection, int], Committed[Handled]]


Ids = Annotated[
    list[UUID] | None, typer.Argument(help="Tasks; without any, a filter or --all says which.", metavar="TASK_ID")
]
Name = Annotated[str | None, typer.Option("--name", callback=text, help="Only this task type.")]
Queue = Annotated[str | None, typer.Option("--queue", callback=text, help="Only of this queue.")]
Code = Annotated[str | None, typer.Option("--code", callback=text, help="Only with this code of their error.")]
After = Annotated[
    datetime | None, typer.Option("--created-after", parser=moment, metavar="TIME", help="Submitted then or later.")
]
Before = Annotated[
    datetime | None, typer.Option("--created-before", parser=moment, metavar="TIME", help="Submitted earlier.")
]
Everything = Annotated[bool, typer.Option("--all", help="All of them, where nothing else says which.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count them, and show the first.")]
Yes = Annotated[
    int | None,
    typer.Option("--yes", min=0, metavar="COUNT", help="Instead of typing the count; nothing is done if it is wrong."),
]


@app.command(
    "list",
    epilog="Examples:\n\n  taskyard-scheduler dead-letters list --code smtp_refused\n\n"
    "  taskyard-scheduler dead-letters list --created-after 2026-01-31T00:00:00Z --json",
)
def list_(
    name: Name = None,
    queue: Queue = None,
    code: Code = None,
    created_after: After = None,
    created_before: Before = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Show so many, the newest.")] = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Count them and list the newest. What happened to one of them: GET /api/v1/tasks/TASK_ID/events."""
    wanted = Wanted(name=name, queue=queue, code=code, created_after=created_after, created_before=created_before)
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)
    with servers_or_exit(settings) as (engine, _):
        matched, rows = _look(engine, wanted, limit)
    if as_json:
        print_json({"matched": matched, "items": [_shown(row) for row in rows]})
        return
    _print_rows(rows)
    typer.echo(f"{_tasks(matched)}{'' if matched == len(rows) else f', {len(rows)} shown'}.")


def _add_command(word: str, verb: Verb, help_: str, *examples: str) -> None:
    @app.command(
        word, help=help_, epilog="\n\n  ".join(["Examples:", *(f"{PROGRAM} {_COMMAND} {word} {e}" for e in examples)])
    )
    def command(
        ids: Ids = None,
        name: Name = None,
        queue: Queue = None,
        code: Code = None,
        created_after: After = None,
        created_before: Before = None,
        everything: Everything = False,
        dry_run: DryRun = False,
        yes: Yes = None,
        database_url: DatabaseUrl = None,
        as_json: AsJson = False,
        log_level: LogLevel = None,
    ) -> None:
        wanted = Wanted(
            ids=ids or None,
            name=name,
            queue=queue,
            code=code,
            created_after=created_after,
            created_before=created_before,
        )
        has_filter = any(v is not None for v in (name, queue, code, created_after, created_before))
        if bool(ids) + has_filter + everything != 1:
            fail(PROGRAM, "say which: by their ids, by a filter, or --all.", USAGE)
        settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)
        with servers_or_exit(settings) as (engine, publisher):
            matched, rows = _look(engine, wanted, _SAMPLE, oldest_first=True)
            if not dry_run:
                _confirm(word, matched, yes)
                act = partial(verb, settings, wanted, actor_here())
                changed = _change(engine, Immediate(engine, publisher), act, matched)
        if dry_run and as_json:
            print_json({"matched": matched, "changed": 0, "sample": [_shown(row) for row in rows]})
        elif dry_run:
            _print_rows(rows)
            typer.echo(f"Would {word} {_tasks(matched)}.")
        elif as_json:
            print_json({"matched": matched, "changed": changed})
        else:
            typer.echo(f"{_tasks(changed)} {_DONE[word]}.")


def _retry(settings: Settings, wanted: Wanted, by: Actor, conn: Connection, limit: int) -> Committed[Handled]:
    return replay_dead_letters(
        conn, wanted, by=by, life=settings.task_life, per_second=settings.replay_per_second, limit=limit
    )


def _discard(_: Settings, wanted: Wanted, by: Actor, conn: Connection, limit: int) -> Committed[Handled]:
    return discard_dead_letters(conn, wanted, by=by, limit=limit)


_add_command(
    "retry",
    _retry,
    "Run them again, with fresh budgets: one after the other, TASKYARD_REPLAY_PER_SECOND (50) a second at most.",
    "01936f0e-...",
    "--code smtp_refused --dry-run",
    "--code smtp_refused --yes 37",
)
_add_command(
    "discard",
    _discard,
    "Put them away: they stay failed tasks, and each can still be retried by `taskyard tasks retry`.",
    "01936f0e-...",
    "--name email.send --created-before 2026-01-01T00:00:00Z",
)


def _change(engine: Engine, announcer: Announcer, act: Act, confirmed: int) -> int:
    """Returns how many were changed: at most what was confirmed, however many have failed since."""
    changed = 0

    def step(conn: Connection) -> Committed[Handled]:
        return act(conn, min(MOST_AT_ONCE, confirmed - changed))

    while changed < confirmed:
        done = commit(partial(ledger.run_transaction, engine), step, announcer).changed
        if not done:
            break
        changed += len(done)
    return changed


def _confirm(word: str, matched: int, yes: int | None) -> None:
    """Ends the program with 1 where the count was not confirmed."""
    if yes is not None:
        if yes != matched:
            fail(PROGRAM, f"--yes {yes}: there are {matched}; nothing was done.", FAILED)
    elif matched:
        # typer.prompt would write a part of it to standard output, where --json is printed.
        typer.echo(f"Type {matched} to {word} {_tasks(matched)}: ", err=True, nl=False)
        typed = sys.stdin.readline()
        if typed.strip() != str(matched):
            fail(PROGRAM, "not confirmed; nothing was done.", FAILED)


def _look(
    engine: Engine, wanted: Wanted, limit: int, *, oldest_first: bool = False
) -> tuple[int, Sequence[Mapping[Any, Any]]]:
    """How many tasks match, and the first of them."""

    def look(conn: Connection) -> tuple[int, Sequence[Mapping[Any, Any]]]:
        rows = dead_letters.page(conn, wanted, limit=limit, oldest_first=oldest_first)
        return dead_letters.count(conn, wanted), rows

    return ledger.run_transaction(engine, look)


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    shown = ("id", "name", "queue", "attempt", "crashes", "created_at", "finished_at", "error")
    return {column: row[column] for column in shown}


def _print_rows(rows: Sequence[Mapping[Any, Any]]) -> None:
    for row in rows:
        error = row["error"] or {}
        said = " ".join(str(error.get("message", "")).split())
        line = (
            f"{row['id']}  {row['finished_at']:%Y-%m-%d %H:%M:%S}  {row['queue']}  {row['name']}"
            f"  {error.get('code', '')}  {said[:100]}"
        )
        # Code and message come from the task: they must not move the cursor of a terminal.
        typer.echo("".join(c if c.isprintable() else "?" for c in line).rstrip())


def _tasks(count: int) -> str:
    return f"{count:,} task" if count == 1 else f"{count:,} tasks"
