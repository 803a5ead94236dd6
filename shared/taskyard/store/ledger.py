"""Connections to PostgreSQL: every one with time-outs, so that nothing waits on a dead server for ever."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from enum import Enum
from typing import Any, TypedDict, TypeVar, Unpack

import orjson
import psycopg
import sqlalchemy as sa
import structlog
from pydantic import SecretStr
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..backoff import Backoff
from ..domain.errors import LedgerUnavailable
from ..settings import Settings
from .sqlstates import CONNECTION_ENDED, READ_ONLY, Meaning, meaning, sqlstate

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

# How long after its own time-out a server's answer is waited for.
SERVER_IS_LATE = timedelta(seconds=5)
# A parameter of addresses, as other tools have it.
POOLED = "pgbouncer"
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.5


_IN_ORDER = "updates_in_order"


class Plans(Enum):
    """How the statements of a connection are planned: settings of PostgreSQL, in one string of `-c` options."""

    # A plan that was kept while `task` was empty would scan all of it once it has grown, until the next ANALYZE.
    # Planning anew costs 0.1 to 0.4 ms a statement.
    ANEW = "-c plan_cache_mode=force_custom_plan"
    # For connections that only insert: what searches no table has no plan that can grow wrong.
    KEPT = "-c plan_cache_mode=auto"
    # For connections whose every statement finds its rows by their keys: a plan that may only walk indexes, from row to
    # row, is the same for an empty table and for a large one, so it is kept. No compiler: PostgreSQL before 18 counts
    # what is switched off and cannot be done without as enormous work.
    BY_KEY = (
        "-c plan_cache_mode=force_generic_plan"
        " -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
    )


def make_engine(
    database_url: str,
    *,
    pool_size: int = 10,
    statement_timeout: timedelta = timedelta(seconds=30),
    connect_timeout: timedelta = timedelta(seconds=5),
    pool_timeout: timedelta = timedelta(seconds=5),
    application_name: str | Callable[[], str] = "taskyard",
    plans: Plans = Plans.ANEW,
) -> Engine:
    """An engine in autocommit mode: each verb is one statement and therefore one durable transaction in one
    round trip. What needs several statements opens its own with `transaction(engine)`.

    TCP keepalives and `tcp_user_timeout` bound how long a vanished server is waited for, `statement_timeout` and
    five seconds how long one that is there and says nothing. An engine that is made before a fork asks for its
    `application_name` at each connection.
    """
    engine = sa.create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout.total_seconds(),
        use_native_hstore=False,  # which the first connection of each process would look up
        execution_options={_IN_ORDER: plans is Plans.BY_KEY and not is_pooled(database_url)},
        **engine_options(statement_timeout, connect_timeout, "", plans),
    )
    patience = statement_timeout + SERVER_IS_LATE

    @sa.event.listens_for(engine, "do_connect")
    def connect(dialect: object, record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        options = options | {"application_name": application_name() if callable(application_name) else application_name}
        with without_leftovers():
            connection = BoundedConnection.connect(*arguments, **connect_arguments(options))
        connection.patience_seconds = patience.total_seconds()
        return connection

    sa.event.listen(engine, "handle_error", leave_standby)
    return engine


def engine_options(
    statement_timeout: timedelta, connect_timeout: timedelta, application_name: str, plans: Plans
) -> dict[str, Any]:
    """What every engine has, of whatever kind: SQLAlchemy's options and, in `connect_args`, libpq's."""
    seconds = max(1, round(connect_timeout.total_seconds()))
    statement_ms = int(statement_timeout.total_seconds() * 1000)
    return {
        "isolation_level": "AUTOCOMMIT",
        # An error's text goes into logs; the parameters of tasks do not belong there.
        "hide_parameters": True,
        # jsonb keeps 1e30 as a 1 with thirty zeros: it has to come back as the float it was, for as an integer it
        # is one that JSON's writers refuse. Integers beyond 64 bits are never stored (lifecycle/batch.py).
        "json_deserializer": orjson.loads,
        "pool_recycle": 1800,
        "connect_args": {
            "connect_timeout": seconds,
            "application_name": application_name,
            "options": f"-c statement_timeout={statement_ms} -c lock_timeout={min(statement_ms, 10_000)}"
            f" -c idle_in_transaction_session_timeout=60000 -c timezone=UTC {plans.value}",
            "keepalives": 1,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    }


@contextmanager
def without_leftovers() -> Iterator[None]:
    """Closes the socket of a connection that did not come about.

    libpq's connection is a variable of psycopg's frames, and the error and its traceback hold each other: without this
    the socket, and the place at the server, would stay taken until Python next collects cycles. The services let it do
    that rarely.
    """
    try:
        yield
    except BaseException as e:
        error: BaseException | None = e
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__context__
        raise


def updates_in_order(conn: Connection) -> bool:
    """Whether an UPDATE changes rows in the order in which the statement has read their ids: their plan can only walk
    from row to row."""
    return bool(conn.get_execution_options().get(_IN_ORDER))


def is_pooled(database_url: str) -> bool:
    """Whether the address says `pgbouncer=true`: it leads to a pooler that gives each transaction another session."""
    return sa.make_url(database_url).query.get(POOLED) == "true"


def connect_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Those of psycopg. Behind a pooler, sessions have neither settings of their own nor prepared statements; the role
    in PostgreSQL has the time-outs."""
    if options.get(POOLED) != "true":
        return options
    return {k: v for k, v in options.items() if k not in {POOLED, "options"}} | {"prepare_threshold": None}


class Options(TypedDict, total=False):
    # As `make_engine` takes them.
    connect_timeout: timedelta
    pool_timeout: timedelta
    plans: Plans


def engine_of(
    settings: Settings,
    name: str | Callable[[], str],
    *,
    serves: Sequence[str],
    statement_timeout: timedelta | None = None,
    url: SecretStr | None = None,
    **options: Unpack[Options],
) -> Engine:
    """An engine with one connection for each entry of `serves`: a thread, or a place in a pool of threads.

    `name` is what PostgreSQL shows in pg_stat_activity. `statement_timeout` and `url`: those of the settings
    by default.
    """
    return make_engine(
        (url or settings.database_url).get_secret_value(),
        pool_size=len(serves),
        statement_timeout=statement_timeout or settings.db_statement_timeout,
        application_name=name,
        **options,
    )


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


def leave_standby(context: sa.ExceptionContext) -> None:
    """A server that refuses to write is no primary any more: the next connection asks for the one that is."""
    if sqlstate(context.original_exception) == READ_ONLY:
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


def run(
    engine: Engine,
    verb: Callable[[Connection], T],
    *,
    door: Callable[[Engine], AbstractContextManager[Connection]] = connection,
    attempts: int = 5,
) -> T:
    """`verb` on a connection, again where a deadlock or a serialisation failure undid it.

    Raises LedgerUnavailable where PostgreSQL does not answer.
    """
    backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    while True:
        try:
            with door(engine) as conn:
                return verb(conn)
        except DBAPIError as e:
            pause = backoff.next()
            if meaning(e) is not Meaning.CONFLICT or backoff.failures >= attempts:
                raise
            log.info("statement_repeated", sqlstate=sqlstate(e), attempt=backoff.failures)
            time.sleep(pause)
        except LedgerUnavailable as e:
            # A pooled connection that a restart had ended meanwhile: the statement never began, and
            # SQLAlchemy has thrown the others of the pool away too. A second time it is really away.
            backoff.next()
            if sqlstate(e.__cause__) != CONNECTION_ENDED or backoff.failures > 1:
                raise


def run_transaction(engine: Engine, verb: Callable[[Connection], T], *, attempts: int = 5) -> T:
    """Like `run`, with all statements of `verb` in one transaction."""
    return run(engine, verb, door=transaction, attempts=attempts)


def raise_if_away(error: BaseException) -> None:
    if meaning(error) is Meaning.AWAY:
        raise LedgerUnavailable(str(getattr(error, "orig", error)).splitlines()[0]) from error
