"""`taskyard-api keys`: create, list, revoke, bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Connection

from taskyard.commands import FAILED, USAGE, AsJson, DatabaseUrl, LogLevel, command_engine, print_json, typer_app
from taskyard.domain.api_keys import ApiKey, make_key, read_key
from taskyard.settings import Settings
from taskyard.store import api_keys, fleet, ledger
from taskyard.store.audit import actor_here

from . import key_changes, program
from .auth import Scope
from .key_changes import MAX_DAYS, MAX_NAME, NewKey, is_name, make

app = typer_app("keys", "API keys: make, list, revoke.")

FIRST_KEY = "bootstrap"

T = TypeVar("T")

_SHOWN = ("name", "prefix", "scopes", "queues", "created_at", "expires_at", "revoked_at")


def _in_ledger(settings: Settings, verb: Callable[[Connection], T]) -> T:
    """`verb` in a transaction of its own."""
    with command_engine(program.NAME, settings) as engine:
        return ledger.run_transaction(engine, verb)


@app.command(
    epilog="Examples:\n\n  taskyard-api keys create --name ci --scope submit --scope read\n\n"
    "  taskyard-api keys create --name reports --scope submit --queue low_priority --expires-in-days 90 --json"
)
def create(
    name: Annotated[str, typer.Option("--name", help="Unique; tasks remember it as `submitted_by`.")],
    scope: Annotated[list[Scope], typer.Option("--scope", help="Repeat it for several.")],
    queue: Annotated[list[str] | None, typer.Option("--queue", help="Only this queue; repeat it for several.")] = None,
    expires_in_days: Annotated[
        float | None, typer.Option("--expires-in-days", help="Not good any more after so many days.")
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Make a key; it is printed once and cannot be shown again."""
    if not is_name(name):
        program.fail(f"--name must be 1 to {MAX_NAME} printable characters.", USAGE)
    expires_at = None
    if expires_in_days is not None:
        if not 0 <= expires_in_days <= MAX_DAYS:  # nor "nan"
            program.fail(f"--expires-in-days must be from 0 to {MAX_DAYS}.", USAGE)
        expires_at = datetime.now(UTC) + timedelta(days=expires_in_days)
    settings, key = program.begin(database_url=database_url, log_level=log_level), make_key()
    scopes = list(dict.fromkeys(map(str, scope)))
    if queue:
        known = {*settings.queues, *_in_ledger(settings, fleet.queue_names)}
        if unknown := sorted(set(queue) - known):
            program.fail(f"--queue {unknown[0]}: there is no such queue; there are {', '.join(sorted(known))}.", USAGE)
    new = NewKey(name=name, scopes=scopes, queues=queue or None, expires_at=expires_at)
    made = _in_ledger(settings, lambda conn: make(conn, key, new, actor_here()))
    if not made:
        program.fail(f"There is a key named {name!r} already.", FAILED)
    _print_new(key, name, scopes, as_json=as_json)


def _print_new(key: ApiKey, name: str, scopes: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"key": key.text, "name": name, "prefix": key.prefix, "scopes": list(scopes)})
    else:
        typer.echo(key.text)


@app.command("list", epilog="Examples:\n\n  taskyard-api keys list\n\n  taskyard-api keys list --json")
def list_(database_url: DatabaseUrl = None, as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """List the keys, without their secrets."""
    rows = _in_ledger(program.begin(database_url=database_url, log_level=log_level), api_keys.every)
    now = datetime.now(UTC)
    shown: list[dict[str, Any]] = [
        {**{name: row[name] for name in _SHOWN}, "state": api_keys.state_of(row, now)} for row in rows
    ]
    if as_json:
        print_json(shown)
        return
    for key in shown:
        queues = ",".join(key["queues"]) if key["queues"] is not None else "all queues"
        typer.echo(f"{key['name']:20} ty_{key['prefix']}_…  {key['state']:8} {','.join(key['scopes'])}  {queues}")


@app.command(epilog="Examples:\n\n  taskyard-api keys revoke ci\n\n  taskyard-api keys revoke 3fk29x0a")
def revoke(
    name: Annotated[str, typer.Argument(help="The key's name or prefix.")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Revoke a key; it is refused within five seconds."""
    prefix = name.removeprefix("ty_").partition("_")[0] if name.startswith("ty_") else name

    def change(conn: Connection) -> list[str]:
        return key_changes.revoke(conn, actor_here(), name_or_prefix=prefix)

    if not _in_ledger(program.begin(database_url=database_url, log_level=log_level), change):
        program.fail("There is no such key, or it was revoked before.", FAILED)
    if as_json:
        print_json({"revoked": prefix})
    else:
        typer.echo(f"Revoked {prefix}.")


@app.command(
    epilog="Examples:\n\n  taskyard-api keys bootstrap\n\n  TASKYARD_BOOTSTRAP_KEY=ty_... taskyard-api keys bootstrap"
)
def bootstrap(database_url: DatabaseUrl = None, as_json: AsJson = False, log_level: LogLevel = None) -> None:
    """Make the first admin key where there is no key at all; harmless when repeated.

    It is TASKYARD_BOOTSTRAP_KEY where that is set, as it has to be where APP_ENV=production: output is kept there.
    Otherwise a random one is made and printed once.
    """
    settings = program.begin(needs=["database_url", "bootstrap_key"], database_url=database_url, log_level=log_level)
    given = settings.bootstrap_key
    try:
        key = make_key() if given is None else read_key(given.get_secret_value())
    except ValueError as e:
        program.fail(f"TASKYARD_BOOTSTRAP_KEY: {e}", USAGE)

    new = NewKey(name=FIRST_KEY, scopes=[Scope.ADMIN])

    def first(conn: Connection) -> bool:
        return api_keys.lock_for_bootstrap(conn) and make(conn, key, new, actor_here()) is not None

    made = _in_ledger(settings, first)
    if made and given is None:
        _print_new(key, FIRST_KEY, [Scope.ADMIN], as_json=as_json)
    elif as_json:
        print_json({"key": None, "name": FIRST_KEY, "prefix": key.prefix} if made else {"key": None})
    elif made:
        typer.echo(f"Made the first key, ty_{key.prefix}_…, as it was given.")
    else:
        typer.echo("There are keys already; nothing was made.")
