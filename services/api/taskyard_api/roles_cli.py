"""`taskyard-api roles`: the roles of PostgreSQL that submit tasks in their own transactions: grant, revoke, list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from taskyard.commands import FAILED, USAGE, AsJson, DatabaseUrl, LogLevel, command_engine, print_json, typer_app
from taskyard.settings import Settings
from taskyard.store import fleet, ledger, submit_roles
from taskyard.store.audit import actor_here
from taskyard.store.sqlstates import NOT_ALLOWED, sqlstate
from taskyard.store.submit_roles import NoSuchRole
from taskyard.store.task_role import right_over_ledger

from . import program

app = typer_app("roles", "Roles of PostgreSQL that submit tasks in their own transactions.")

T = TypeVar("T")

Role = Annotated[str, typer.Argument(help="A role of PostgreSQL: an application's login, or a group of them.")]


def _in_ledger(settings: Settings, verb: Callable[[Connection], T]) -> T:
    """`verb` in a transaction of its own."""
    with command_engine(program.NAME, settings) as engine:
        try:
            return ledger.run_transaction(engine, verb)
        except NoSuchRole as e:
            program.fail(f"{e} An administrator makes it: CREATE ROLE ... LOGIN PASSWORD '...'.", FAILED)
        except DBAPIError as e:
            if sqlstate(e) != NOT_ALLOWED:
                raise
            program.fail(f"TASKYARD_DATABASE_URL needs the role that owns the tables: {e.orig}", FAILED)


@app.command(
    epilog="Examples:\n\n  taskyard-api roles grant shop --queue default\n\n"
    "  taskyard-api roles grant shop --queue default --queue high_priority --json"
)
def grant(
    role: Role,
    queue: Annotated[list[str] | None, typer.Option("--queue", help="Only this queue; repeat it for several.")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Let a role submit tasks by taskyard_sql.submit; without --queue, to all queues. It may be repeated with others.

    Tasks of submits that name no expiry get TASK_TIMEOUT_HOURS of this command.
    """
    settings = program.begin(database_url=database_url, log_level=log_level)
    if queue:
        known = {*settings.queues, *_in_ledger(settings, fleet.queue_names)}
        if unknown := sorted(set(queue) - known):
            program.fail(f"--queue {unknown[0]}: there is no such queue; there are {', '.join(sorted(known))}.", USAGE)

    def change(conn: Connection) -> str | None:
        submit_roles.grant(conn, role, queue or None, actor_here(), life=settings.task_life)
        return right_over_ledger(conn, role)

    right = _in_ledger(settings, change)
    queues = sorted(set(queue)) if queue else None
    if as_json:
        print_json({"role": role, "queues": queues, "right_over_ledger": right})
        return
    typer.echo(f"{role} may submit to {_queues(queues)}.")
    if right is not None:
        typer.echo(f"It does not need {right}, with which it can change the platform's own tables: take that from it.")


@app.command(epilog="Example:\n\n  taskyard-api roles revoke shop")
def revoke(role: Role, database_url: DatabaseUrl = None, as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Take from a role what `grant` gave it. Its tasks stay, and transactions that have submitted still commit."""
    settings = program.begin(database_url=database_url, log_level=log_level)
    if not _in_ledger(settings, lambda conn: submit_roles.revoke(conn, role, actor_here())):
        program.fail(f"The role {role[:100]!r} was not granted; `taskyard-api roles list` shows all that are.", FAILED)
    if as_json:
        print_json({"revoked": role})
    else:
        typer.echo(f"{role} may not submit any more.")


@app.command("list", epilog="Examples:\n\n  taskyard-api roles list\n\n  taskyard-api roles list --json")
def list_(database_url: DatabaseUrl = None, as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """List the roles that may submit, and their queues."""
    settings = program.begin(database_url=database_url, log_level=log_level)
    rows = _in_ledger(settings, submit_roles.listed)
    if as_json:
        print_json([dict(row) for row in rows])
        return
    for row in rows:
        state = "" if row["is_granted"] else "  dropped since: grant it again, or revoke it"
        typer.echo(f"{row['role']:24} {_queues(row['queues'])}{state}")


def _queues(queues: list[str] | None) -> str:
    return "all queues" if queues is None else ", ".join(queues)
