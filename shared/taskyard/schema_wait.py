"""`wait-for-schema` of each service: what runs before it in a container of its own (deploy/k8s)."""

from __future__ import annotations

import time
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from . import signals
from .backoff import spread
from .commands import AWAY, FAILED, fail
from .output import visible

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from .settings import Settings

_PATIENCE = timedelta(seconds=3)
_PAUSE_SECONDS = 1.0

Seconds = Annotated[float, typer.Option("--seconds", min=0, help="Give up after so long.")]


class Missing(NamedTuple):
    what: str
    code: int


def wait_for_schema(program: str, settings: Settings, seconds: float) -> None:
    """Returns as soon as PostgreSQL has a schema that this release can use: its own, or that of a later one.

    Tells on standard error what it waits for, a line for each change. After `seconds` it ends the program with 3 where
    PostgreSQL is away, and with 1 where the schema is missing or old.
    """
    from .store.ledger import engine_of

    # The first process of a container has no default for signals.
    signals.take(dict.fromkeys(signals.STOPPING, _stop))
    until = time.monotonic() + seconds
    engine = engine_of(settings, f"{program} wait", serves=["the wait"], connect_timeout=_PATIENCE)
    told = ""
    try:
        while (missing := _missing(engine)) is not None:
            if time.monotonic() >= until:
                fail(program, f"gave up after {seconds:g} s: {missing.what}", missing.code)
            if missing.what != told:
                told = missing.what
                typer.echo(f"{program}: waits: {visible(told)}", err=True)
            time.sleep(spread(_PAUSE_SECONDS))
    finally:
        engine.dispose()


def _missing(engine: Engine) -> Missing | None:
    from sqlalchemy.exc import DBAPIError

    from .domain.errors import LedgerUnavailable
    from .store import ledger, migrate

    try:
        found, usable = ledger.run(engine, lambda conn: (migrate.current(conn), migrate.is_usable(conn)))
    except LedgerUnavailable as e:
        return Missing(f"PostgreSQL does not answer: {_line(e)}", AWAY)
    except DBAPIError as e:
        return Missing(f"PostgreSQL refuses: {_line(e.orig)}", FAILED)
    if usable:
        return None
    at = "has no schema" if found is None else f"is at revision {found}"
    return Missing(f"the database {at}, needs {migrate.head()}: `taskyard-api migrate`", FAILED)


def _line(error: object) -> str:
    return " ".join(str(error).split())


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
