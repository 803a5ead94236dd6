"""`taskyard-scheduler schedules`: works on the ledger directly, for when the API is not available, and for files."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError
from sqlalchemy import Connection

from taskyard.admission.field_faults import faults_of
from taskyard.catalogue.secrets import Cipher, SecretsUnreadable, masked
from taskyard.commands import (
    FAILED,
    USAGE,
    AsJson,
    DatabaseUrl,
    LogLevel,
    command_engine,
    fail,
    print_json,
    settings_or_exit,
    typer_app,
)
from taskyard.domain.errors import Refused
from taskyard.lifecycle.committed import Committed, commit
from taskyard.lifecycle.dispatch import Immediate
from taskyard.output import visible
from taskyard.schedules import changes
from taskyard.schedules.bodies import MAX_PREVIEWED, SHOWN_FIRES, TriggerBody
from taskyard.store import ledger, schedules
from taskyard.store.audit import actor_here
from taskyard.store.schedules import Fire, Schedule

from . import schedule_changes
from .program import PROGRAM, servers_or_exit
from .schedule_file import FileRefused, read_file

app = typer_app("schedules", "What is submitted when: list, preview, trigger, pause, resume, and apply a file.")

Which = Annotated[str, typer.Argument(help="Its name or its id.", metavar="SCHEDULE")]


@app.command("list", epilog="Examples:  taskyard-scheduler schedules list  |  taskyard-scheduler schedules list --json")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Show so many, the newest.")] = 1000,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """List the schedules, the newest first, with when each is due next."""
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)
    with command_engine(PROGRAM, settings) as engine:
        found = ledger.run(engine, partial(schedules.page, limit=limit))
    if as_json:
        print_json({"items": [_shown(one) for one in found]})
        return
    for one in found:
        due = f"{one.next_due_at:%Y-%m-%d %H:%M:%S}" if one.next_due_at else "-" if one.enabled else "paused"
        typer.echo(visible(f"{due:<19}  {_said(one.trigger):<34}  {one.task_name:<34}  {one.name}"))
    typer.echo(f"{len(found):,} schedule{'' if len(found) == 1 else 's'}; times are in UTC.")


@app.command(
    epilog='Examples:\n\n  taskyard-scheduler schedules preview "0 9 2nd fri * *" --timezone Europe/Budapest\n\n'
    "  taskyard-scheduler schedules preview --every-seconds 90 --count 10"
)
def preview(
    cron: Annotated[str | None, typer.Argument(help="A cron expression of five fields.")] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="Of IANA's, as Europe/Budapest.")] = None,
    every_seconds: Annotated[int | None, typer.Option("--every-seconds", help="Instead of a cron expression.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=MAX_PREVIEWED, help="How many.")] = SHOWN_FIRES,
    as_json: AsJson = False,
) -> None:
    """Show the next due times of a trigger, without saving anything and without a server."""
    given = {"cron": cron, "timezone": timezone, "every_seconds": every_seconds}
    try:
        trigger = TriggerBody.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as e:
        fail(PROGRAM, str(faults_of(e)[0].message), USAGE)
    found = changes.preview(changes.Trial(trigger.stored()), count, datetime.now(UTC))
    if as_json:
        print_json({"next_fires": found})
        return
    for due_at in found:
        typer.echo(f"{due_at:%a %Y-%m-%d %H:%M:%S} UTC")


@app.command(epilog='Example:  taskyard-scheduler schedules trigger "nightly report"')
def trigger(
    which: Which, database_url: DatabaseUrl = None, as_json: AsJson = False, log_level: LogLevel = None
) -> None:
    """Submit its task now, also while it is paused. Exit code 1: the last one still runs, and it allows one at a
    time."""
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)

    def verb(conn: Connection) -> Committed[Fire]:
        return changes.trigger(conn, _locked(conn, which), actor_here())

    with servers_or_exit(settings) as (engine, publisher):
        try:
            fire = commit(partial(ledger.run_transaction, engine), verb, Immediate(engine, publisher))
        except Refused as e:
            fail(PROGRAM, str(e.message), FAILED)
    if as_json:
        print_json({"task_id": fire.task_id, "due_at": fire.due_at})
    else:
        typer.echo(f"Submitted the task {fire.task_id}.")


def _switch(which: str, database_url: str | None, log_level: str | None, *, enabled: bool) -> None:
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)

    def verb(conn: Connection) -> Schedule:
        return changes.switch(conn, _locked(conn, which), enabled=enabled, by=actor_here())

    with command_engine(PROGRAM, settings) as engine:
        try:
            found = ledger.run_transaction(engine, verb)
        except Refused as e:
            fail(PROGRAM, str(e.message), FAILED)
    due = f"next due at {found.next_due_at:%Y-%m-%d %H:%M:%S} UTC" if found.next_due_at else "paused"
    typer.echo(visible(f"{found.name}: {due}."))


@app.command(epilog='Example:  taskyard-scheduler schedules pause "nightly report"')
def pause(which: Which, database_url: DatabaseUrl = None, log_level: LogLevel = None) -> None:
    """Nothing of it is due until it is resumed."""
    _switch(which, database_url, log_level, enabled=False)


@app.command(epilog='Example:  taskyard-scheduler schedules resume "nightly report"')
def resume(which: Which, database_url: DatabaseUrl = None, log_level: LogLevel = None) -> None:
    """From the next due time on; what passed meanwhile is not made up for."""
    _switch(which, database_url, log_level, enabled=True)


@app.command(
    epilog="Examples:\n\n  taskyard-scheduler schedules apply schedules.yaml\n\n"
    "  taskyard-scheduler schedules apply schedules.yaml --prune --yes"
)
def apply(
    file: Annotated[Path, typer.Argument(help="YAML, or JSON where its name ends with .json.", metavar="FILE")],
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what this file made before and does not have any more.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    database_url: DatabaseUrl = None,
    log_level: LogLevel = None,
) -> None:
    """Make the schedules of a file, and change those that are otherwise: all of it or nothing. What changes is shown
    first. Exit code 2: the file is wrong, and each line says where."""
    settings = settings_or_exit(PROGRAM, database_url=database_url, log_level=log_level)
    by = actor_here()
    with command_engine(PROGRAM, settings) as engine:
        try:
            read = read_file(file)
            cipher = Cipher([key.get_secret_value() for key in settings.secret_keys])
            find = partial(schedule_changes.found, file=read, settings=settings, cipher=cipher, by=by, prune=prune)
            found = ledger.run_transaction(engine, find)
            wanted = found.changes
            for name in found.left_out:
                typer.echo(visible(f"! {name}: left out, because its time has passed"))
            for line in [line for one in wanted for line in one.lines()]:
                typer.echo(visible(line))
            if not wanted or dry_run:
                typer.echo("Nothing to change." if not wanted else f"Would change {_count(wanted)}.")
                return
            _confirm(len(wanted), yes=yes)
            ledger.run_transaction(engine, partial(schedule_changes.carry_out, file=read, wanted=wanted, by=by))
        except FileRefused as e:
            for line in e.lines[1:]:
                typer.echo(visible(line), err=True)
            fail(PROGRAM, visible(e.lines[0]), USAGE)
        except SecretsUnreadable as e:
            fail(PROGRAM, f"a task of the file has secrets, and there is no key for them: {e}", FAILED)
        except Refused as e:
            fail(PROGRAM, f"{e.message} Nothing was changed.", FAILED)
    typer.echo(f"Changed {_count(wanted)}.")


def _confirm(count: int, *, yes: bool) -> None:
    """Ends the program with 1 where it was not confirmed."""
    if yes:
        return
    typer.echo("Do it? [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        fail(PROGRAM, f"not confirmed; {count} differences stay.", FAILED)


def _locked(conn: Connection, which: str) -> Schedule:
    """Ends the program with 1 where there is none."""
    found = schedules.by_names(conn, [which], lock=True).get(which)
    if found is None:
        with suppress(ValueError):  # a name that is no id
            found = schedules.get(conn, UUID(which), lock=True)
    if found is None:
        fail(PROGRAM, f"there is no schedule {visible(which[:100])!r}.", FAILED)
    return found


def _count(wanted: list[schedule_changes.Change]) -> str:
    return f"{len(wanted):,} schedule{'' if len(wanted) == 1 else 's'}"


def _said(trigger: Any) -> str:
    return " ".join(f"{trigger[name]}" for name in ("cron", "timezone", "at") if name in trigger) or (
        f"every {trigger['every_seconds']} s"
    )


def _shown(one: Schedule) -> dict[str, Any]:
    left_out = {"task_bytes", "fires_at", "anchored_at"}
    shown = {name: getattr(one, name) for name in Schedule.__slots__ if name not in left_out}
    return {**shown, "task": masked(dict(one.task)), "next_fires": changes.next_fires(one, SHOWN_FIRES)}
