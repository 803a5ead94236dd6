"""What the four command-line programs have in common: exit codes, options, and how they say what is wrong."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import orjson
import typer

from .environment import InvalidSettings, read_settings
from .settings import Settings

FAILED, USAGE, AWAY = 1, 2, 3
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
    typer.echo(f"{program}: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """On standard output; times in UTC, with a Z."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def settings_or_exit(program: str, **overrides: Any) -> Settings:
    """The settings, `overrides` (from flags; None: not given) over the environment.

    Ends the program with 2 and one line that names the variable where one is wrong.
    """
    try:
        return read_settings(**overrides)
    except InvalidSettings as e:
        fail(program, str(e), USAGE)
