"""Connections to PostgreSQL: every one with time-outs, so that nothing waits on a dead server for ever."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import orjson
import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..domain.errors import LedgerUnavailable

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

# SQLSTATE: 40001 serialisation failure, 40P01 deadlock: nothing was written, the same call may be repeated.
_TRY_AGAIN = {"40001", "40P01"}
# 08 connection, 57P0x shutting down, 53 out of connections, disk or memory, 58 trouble with its own files,
# 25006 read-only (a standby after a failover), 25P03 we were silent in a transaction for too long, 55P03 and 57014
# no lock and no answer in time: a server whose disk is stalled does not answer either.
_AWAY = ("08", "57P", "53", "58", "25006", "25P03", "55P03", "57014")

_READ_ONLY = "25006"
# How long after its own time-out a server's answer is waited for.
_SERVER_IS_LATE = timedelta(seconds=5)
# The server ended this connection before it began with the statement.
_CONNECTION_ENDED = "57P01"


def make_engine(
    database_url: str,
    *,
    pool_size: int = 10,
    statement_timeout: timedelta = timedelta(seconds=30),
    connect_timeout: timedelta = timedelta(seconds=5),
    pool_timeout: timedelta = timedelta(seconds=5),
    application_name: str = "taskyard",
    plan_anew: bool = True,
) -> Engine:
    """An engine in autocommit mode: each verb is one statement and therefore one durable transaction in one
    round trip. What needs several statements opens its own with `transaction(engine)`.

    TCP keepalives and `tcp_user_timeout` bound how long a vanished server is waited for, `statement_timeout` and
    five seconds how long one that is there and says nothing. `plan_anew=False` is for
    connections that only insert: what searches no table has no plan that can grow wrong.
    """
    seconds = max(1, round(connect_timeout.total_seconds()))
    statement_ms = int(statement_timeout.total_seconds() * 1000)
    engine = sa.create_engine(
        database_url,
        isolation_level="AUTOCOMMIT",
        # An error's text goes into logs; the parameters of tasks do not belong there.
        hide_parameters=True,
        # jsonb keeps 1e30 as a 1 with thirty zeros: it has to come back as the float it was, for as an integer it
        # is one that JSON's writers refuse. Integers beyond 64 bits are never stored (lifecycle/batch.py).
        json_deserializer=orjson.loads,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout.total_seconds(),
        pool_recycle=1800,
        connect_args={
            "connect_timeout": seconds,
            "application_name": application_name,
            "options": f"-c statement_timeout={statement_ms} -c lock_timeout={min(statement_ms, 10_000)}"
            " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
            # A plan that was kept while `task` was empty would scan all of it once it has grown, until the
            # next ANALYZE. Planning anew costs 0.1 to 0.3 ms a statement.
            f" -c plan_cache_mode={'force_custom_plan' if plan_anew else 'auto'}",
            "keepalives": 1,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    )
    patience = statement_timeout + _SERVER_IS_LATE

    @sa.event.listens_for(engine, "do_connect")
    def connect(dialect: object, record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        connection = BoundedConnection.connect(*arguments, **options)
        connection.patience_seconds = patience.total_seconds()
        return connection

    sa.event.listen(engine, "handle_error", _leave_standby)
    return engine


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for each answer for so long at most.

    The server's own time-outs come first; this is for one that says nothing any more while TCP is still
    acknowledged: a stopped process, a proxy that lost its other end.
    """

    patience_seconds: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises psycopg.OperationalError where no answer came in time; the connection is closed then."""
        try:
            return super().wait(gen, interval, timeout if timeout is not None else self.patience_seconds)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()  # what it answers later would be taken for the answer to another question
            raise


def _leave_standby(context: sa.ExceptionContext) -> None:
    """A server that refuses to write is no primary any more: the next connection asks for the one that is."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


@contextmanager
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection whose every statement commits on its own.

    Raises LedgerUnavailable where PostgreSQL does not answer.
    """
    try:
        with engine.connect() as conn:
            yield conn
    except (DBAPIError, PoolTimeout) as e:
        raise_if_away(e)
        raise


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction of several statements (READ COMMITTED).

    Raises LedgerUnavailable where PostgreSQL does not answer.
    """
    try:
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as conn, conn.begin():
            yield conn
    except (DBAPIError, PoolTimeout) as e:
        raise_if_away(e)
        raise


def run(engine: Engine, verb: Callable[[Connection], T], *, attempts: int = 5) -> T:
    """`verb` on a connection, again where a deadlock or a serialisation failure undid it.

    Raises LedgerUnavailable where PostgreSQL does not answer.
    """
    return _repeat(lambda: _with(connection, engine, verb), attempts)


def run_transaction(engine: Engine, verb: Callable[[Connection], T], *, attempts: int = 5) -> T:
    """Like `run`, with all statements of `verb` in one transaction."""
    return _repeat(lambda: _with(transaction, engine, verb), attempts)


def _with(opener: Callable[[Engine], object], engine: Engine, verb: Callable[[Connection], T]) -> T:
    with opener(engine) as conn:  # type: ignore[attr-defined]
        return verb(conn)


def _repeat(call: Callable[[], T], attempts: int) -> T:
    for n in range(1, attempts + 1):
        try:
            return call()
        except DBAPIError as e:
            if sqlstate(e) not in _TRY_AGAIN or n == attempts:
                raise
            log.info("statement_repeated", sqlstate=sqlstate(e), attempt=n)
            time.sleep(random.uniform(0.2, 1.0) * 0.01 * 2**n)
        except LedgerUnavailable as e:
            # A pooled connection that a restart had ended meanwhile: the statement never began, and
            # SQLAlchemy has thrown the others of the pool away too. A second time it is really away.
            if sqlstate(e.__cause__) != _CONNECTION_ENDED or n > 1:
                raise
    raise AssertionError("unreachable")


def sqlstate(error: BaseException | None) -> str | None:
    """The five-character SQLSTATE of a database error, if it carries one."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def is_away(error: BaseException) -> bool:
    """Whether the error says that PostgreSQL cannot be had now, rather than that the statement is wrong."""
    if isinstance(error, LedgerUnavailable | PoolTimeout | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = sqlstate(error)
    if state is None:
        return error.connection_invalidated or isinstance(error, OperationalError)
    return state.startswith(_AWAY)


def raise_if_away(error: BaseException) -> None:
    if is_away(error):
        raise LedgerUnavailable(str(getattr(error, "orig", error)).splitlines()[0]) from error
