"""Submits in the application's own transaction: its rows and the task commit together, or neither does.

    with session.begin():
        session.add(order)
        submit_in(session, "email.send_welcome", {"user_id": 7})

The database is the platform's: its administrator lets the application's role submit (`taskyard-api roles grant`). Where
the application has a database of its own, `outbox.py` is the way. Needs `taskyard-client[transactions]`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from uuid import UUID

from .errors import ApiRefused, ClientError, Invalid, refusal
from .options import Params
from .tracing import passed_on

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from typing_extensions import Unpack

Run = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]

_PLACE = re.compile(r"%\((\w+)\)s")


class TransactionOptions(TypedDict, total=False):
    """As the API names them. There is no unique key, id or callback: `docs/transactions.md` says why."""

    queue: str | None
    delay_seconds: float | timedelta | None
    run_at: datetime | None
    expires_at: datetime | None
    max_attempts: int | None
    soft_timeout_seconds: float | timedelta | None
    hard_timeout_seconds: float | timedelta | None
    tags: Sequence[str] | None
    on_cancel: Literal["cancel_children", "leave_children"] | None


class NotInTransaction(ClientError):
    """The connection commits each statement by itself, or in two phases: the task would not share the fate of what the
    application writes."""


def submit_in(connection: Any, name: str, params: Params | None = None, **options: Unpack[TransactionOptions]) -> UUID:
    """Submits a task in the transaction of a connection of psycopg, SQLAlchemy (or session) or Django; returns its id.

    It is checked as the API checks it before anything is written. The worker gets it once the transaction commits.
    Raises Invalid and other ApiRefused with the API's words, NotInTransaction, and what the driver raises.
    """
    run = run_of(connection)
    steps = _steps(name, params, options)
    rows = None
    try:
        while True:
            statement, values = steps.send(rows)
            rows = run(statement, values)
    except StopIteration as done:
        return UUID(str(done.value))
    except Exception as e:
        told = refused(e)
        if told is None:
            raise
        raise told from None


async def submit_in_async(
    connection: Any, name: str, params: Params | None = None, **options: Unpack[TransactionOptions]
) -> UUID:
    """The same for an AsyncConnection of psycopg, and for SQLAlchemy's AsyncConnection and AsyncSession."""
    if _is_a(connection, "sqlalchemy.ext.asyncio", "AsyncConnection", "AsyncSession", "async_scoped_session"):
        return UUID(str(await connection.run_sync(submit_in, name, params, **options)))
    if not _is_a(connection, "psycopg", "AsyncConnection"):
        raise TypeError(
            f"an asynchronous connection of psycopg or SQLAlchemy is needed, and this is {_kind(connection)}"
        )
    _require_transaction(connection)
    steps = _steps(name, params, options)
    rows = None
    try:
        while True:
            statement, values = steps.send(rows)
            async with connection.cursor(row_factory=_tuple_row()) as cursor:
                await cursor.execute(statement, values)
                rows = await cursor.fetchall()
    except StopIteration as done:
        return UUID(str(done.value))
    except Exception as e:
        told = refused(e)
        if told is None:
            raise
        raise told from None


@cache
def _admission() -> Any:
    """What the platform itself checks with."""
    try:
        return import_module("taskyard.admission.in_transaction").Submits()
    except ImportError as e:
        raise ImportError("submit_in needs taskyard-client[transactions] (Python 3.11 or newer)") from e


def _steps(name: str, params: Params | None, options: Mapping[str, Any]) -> Any:
    headers = passed_on()
    told = {"request_id": headers.get("X-Request-ID"), "traceparent": headers.get("traceparent")}
    return _admission().steps(name, params, options, {key: value for key, value in told.items() if value is not None})


def run_of(connection: Any) -> Run:
    """Raises TypeError and NotInTransaction."""
    if _is_a(connection, "sqlalchemy.orm", "Session", "scoped_session"):
        connection = connection.connection()
    if _is_a(connection, "sqlalchemy", "Connection"):
        return _of_sqlalchemy(connection)
    if _is_a(connection, "psycopg", "Connection"):
        _require_transaction(connection)
        return _of_psycopg(connection)
    if hasattr(connection, "in_atomic_block"):  # of Django; `django.db.connection` is a proxy
        if connection.vendor != "postgresql":
            raise TypeError(f"submit_in needs PostgreSQL, and this is {connection.vendor}")
        if connection.get_autocommit():
            raise NotInTransaction(
                "Django commits each statement by itself here: call submit_in in transaction.atomic()"
            )
        return _of_django(connection)
    raise TypeError(f"a connection of psycopg, SQLAlchemy or Django is needed, and this is {_kind(connection)}")


def _of_sqlalchemy(connection: Any) -> Run:
    sqlalchemy = sys.modules["sqlalchemy"]
    if getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
        raise NotInTransaction("this connection is in autocommit mode: call submit_in in a transaction")
    if isinstance(connection.get_transaction(), sqlalchemy.TwoPhaseTransaction):
        raise NotInTransaction(
            "PostgreSQL prepares no transaction that submits a task: its commit could not be told to the scheduler"
        )

    def run(statement: str, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = connection.execute(sqlalchemy.text(_PLACE.sub(r":\1", statement)), values).all()
        return rows

    return run


def _of_psycopg(connection: Any) -> Run:
    def run(statement: str, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        with connection.cursor(row_factory=_tuple_row()) as cursor:
            rows: Sequence[Sequence[Any]] = cursor.execute(statement, values).fetchall()
            return rows

    return run


def _of_django(connection: Any) -> Run:
    def run(statement: str, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            return rows

    return run


def _require_transaction(connection: Any) -> None:
    """Of psycopg: a connection in autocommit mode may be within `connection.transaction()`."""
    if connection.autocommit and connection.info.transaction_status == 0:  # idle
        raise NotInTransaction("this connection is in autocommit mode: call submit_in in connection.transaction()")


def _tuple_row() -> Any:
    return import_module("psycopg.rows").tuple_row


def _is_a(value: object, module: str, *names: str) -> bool:
    """Without importing the module: where nobody has, the value is none of its objects."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, tuple(getattr(loaded, name) for name in names))


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def refused(error: BaseException) -> ApiRefused | None:
    """The refusal that an error of the admission or of the function is, in the API's form."""
    if hasattr(error, "faults"):
        faults = [{"pointer": fault.pointer, "message": str(fault.message)} for fault in error.faults]
        return Invalid({"code": error.code, "detail": str(error), "errors": faults}, 422)  # type: ignore[attr-defined]
    if type(error).__module__.startswith("taskyard.") and hasattr(error, "code"):
        return refusal(503 if error.code == "no_task_types" else 403, {"code": error.code, "detail": str(error)}, None)
    raised = _raised(error)
    if raised is None:
        return None
    said, detail = raised
    told = json.loads(detail)
    return Invalid({**told, "detail": said, "errors": [{"pointer": told["pointer"], "message": said}]}, 422)


def _raised(error: BaseException) -> tuple[str, str] | None:
    """What the function said, and its details: by psycopg, psycopg2 or asyncpg, and by SQLAlchemy or Django around."""
    original: Any = getattr(error, "orig", None) or error.__cause__ or error
    if "TY422" not in {getattr(original, "sqlstate", None), getattr(original, "pgcode", None)}:
        return None
    if hasattr(original, "diag"):
        return str(original.diag.message_primary), str(original.diag.message_detail)
    own: Any = original if hasattr(original, "message") else original.__cause__  # SQLAlchemy has one around asyncpg's
    return str(own.message), str(own.detail)
