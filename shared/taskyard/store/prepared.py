"""A statement that is carried out so often that its way through SQLAlchemy and a cursor would cost as much as the rest
of what its caller does: 0.2 ms a call, for two thirds of the processor time of the call."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import psycopg
import sqlalchemy as sa
from psycopg import errors, generators, pq
from psycopg.adapt import Transformer
from sqlalchemy import Connection

from .ledger import BoundedConnection

_GOOD = {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}


class Prepared:
    """`statement`, named `name` in the sessions that prepare it, has one parameter, a text, and answers one row.

    It goes to libpq directly where it commits by itself on a connection of an engine of ours; in a transaction, and
    where sessions have no prepared statements (behind a pooler), through SQLAlchemy.
    """

    def __init__(self, name: str, statement: sa.Executable, parameter: str) -> None:
        self._statement = statement
        self._parameter = parameter
        self._name = name.encode()
        self._sql = str(statement).replace(f":{parameter}", "$1").encode()
        self._known: WeakSet[BoundedConnection] = WeakSet()

    def one(self, conn: Connection, value: str) -> tuple[Any, ...]:
        """Raises what SQLAlchemy raises."""
        raw = conn.connection.driver_connection
        if not isinstance(raw, BoundedConnection) or not raw.autocommit or raw.prepare_threshold is None:
            return tuple(conn.execute(self._statement, {self._parameter: value}).one())
        try:
            with raw.lock:
                return self._row(raw, value.encode())
        except psycopg.Error as e:
            # As after a statement of its own: what the error means for the connection and its pool is decided there.
            conn._handle_dbapi_exception(e, str(self._statement), None, None, None)

    def _row(self, raw: BoundedConnection, value: bytes) -> tuple[Any, ...]:
        try:
            result = self._carried_out(raw, value)
        except errors.InvalidSqlStatementName:  # psycopg deallocates everything after a ROLLBACK: nothing was done
            self._known.discard(raw)
            result = self._carried_out(raw, value)
        transformer = Transformer(raw)
        transformer.set_pgresult(result)
        return transformer.load_row(0, tuple) or ()

    def _carried_out(self, raw: BoundedConnection, value: bytes) -> pq.abc.PGresult:
        if raw not in self._known:
            raw.pgconn.send_prepare(self._name, self._sql)
            _result(raw)
            self._known.add(raw)
        raw.pgconn.send_query_prepared(self._name, [value])
        return _result(raw)


def _result(raw: BoundedConnection) -> pq.abc.PGresult:
    # An error at the commit comes as a second result, after the rows: what a deferred constraint refuses, or a session
    # that an operator ends before it has read that the statement is over.
    results: list[pq.abc.PGresult] = raw.wait(generators.execute(raw.pgconn))
    for result in results:
        if result.status not in _GOOD:
            raise errors.error_from_result(result)
    if not results:
        raise psycopg.OperationalError("the connection has no result for the statement")
    return results[0]
