"""What the four command-line programs share: exit codes, options, error messages, and a connection to the ledger."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer

from .environment import InvalidSettings, read_settings
from .output import visible
from .settings import Settings, is_production

if TYPE_CHECKING:
    from sqlalchemy import Engine

FAILED, USAGE, AWAY = 1, 2, 3
# The settings that say where they are: the defaults lead to this machine.
SERVERS = ("database_url", "redis_url")
NOT_MIGRATED = "the database is not migrated: run `taskyard-api migrate`."

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LogLevel = Annotated[
    str | None,
    typer.Option("--log-level", envvar="TASKYARD_LOG_LEVEL", help="debug, info, warning, error or critical."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", envvar="TASKYARD_DATABASE_URL", help="PostgreSQL.", show_envvar=True),
]


def typer_app(name: str, help: str) -> typer.Typer:  # noqa: A002 - Typer's own word for it
    """A program, or a group of commands in one: help on `-h` and without arguments, no boxes, plain tracebacks."""
    return typer.Typer(
        name=name,
        help=help,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def fail(program: str, message: str, code: int) -> NoReturn:
    """Ends the program with `code` and one line on standard error."""
    with suppress(OSError):  # where nothing can be said the exit code still counts
        typer.echo(f"{program}: {visible(' '.join(message.split()))}", err=True)
    raise typer.Exit(code)


def parse_params(text: str) -> dict[str, Any]:
    """The parameters of a task. Raises ValueError with a sentence."""
    try:
        found = parse_json(text)
    except ValueError as e:
        raise ValueError(f"the parameters are not JSON: {e}") from None
    if not isinstance(found, dict):
        raise ValueError("the parameters must be a JSON object")  # noqa: TRY004 - the sentence is all that counts
    return found


def parse_json(text: str) -> Any:
    """Raises ValueError for invalid JSON, NaN included: orjson is strict about that. But orjson makes floats of
    integers beyond 64 bits, which have to be sent as they were given, for the API to refuse; and of a name that comes
    twice it keeps the last value."""
    orjson.loads(text)
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a name twice")
    return found


def moment(value: str) -> datetime:
    """Raises typer.BadParameter."""
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None or not 1970 <= read.year < 9000:
        raise typer.BadParameter("must be a time with its offset: 2026-01-31T12:00:00Z")
    return read


def counted(tasks: int) -> str:
    return f"{tasks} task{'' if tasks == 1 else 's'}"


def confirm(program: str, question: str) -> None:
    """Ends the program with 1 unless the answer is yes."""
    # typer.confirm would write to standard output, where --json is printed.
    typer.echo(f"{visible(question)} [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        fail(program, "not confirmed; nothing was done.", FAILED)


def print_json(value: Any) -> None:
    """On standard output; times in UTC, with a Z."""
    typer.echo(visible(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()))


def settings_or_exit(program: str, *, needs: Collection[str] = (), **overrides: Any) -> Settings:
    """The settings; `overrides` (from flags; None: not given) win over the environment.

    `needs`: fields whose defaults are for development, so that in production a missing one is an error, too.
    Where a setting is wrong, ends the program with 2 and one line that names the variable.
    """
    try:
        settings = read_settings(**overrides)
    except InvalidSettings as e:
        fail(program, str(e), USAGE)
    if is_production(settings.app_env) and (missing := sorted(set(needs) - settings.model_fields_set)):
        fail(
            program,
            f"{', '.join(f'TASKYARD_{name.upper()}' for name in missing)}: must be set where APP_ENV=production",
            USAGE,
        )
    return settings


@contextmanager
def postgresql_or_exit(program: str) -> Iterator[None]:
    """Ends the program with 3 where PostgreSQL is away, and with 1 where it is not migrated or refuses a statement."""
    from sqlalchemy.exc import DBAPIError

    from .domain.errors import LedgerUnavailable
    from .store.sqlstates import Meaning, meaning

    try:
        yield
    except (DBAPIError, LedgerUnavailable) as e:
        said = str(getattr(e, "orig", e)).splitlines()[0]
        match meaning(e):
            case Meaning.AWAY:
                fail(program, f"PostgreSQL does not answer: {said}", AWAY)
            case Meaning.NOT_MIGRATED:
                fail(program, NOT_MIGRATED, FAILED)
            case _:  # usually, the account lacks a right
                fail(program, f"PostgreSQL refuses: {said}", FAILED)


@contextmanager
def command_engine(program: str, settings: Settings) -> Iterator[Engine]:
    """An engine with one connection, for a command of `program`; errors end it as `postgresql_or_exit` says."""
    from .store.ledger import engine_of

    engine = engine_of(settings, program, serves=["the command"])
    try:
        with postgresql_or_exit(program):
            yield engine
    finally:
        engine.dispose()
