"""Prepares the role of `context.db()`: makes it where it is missing, and grants what kits of ours need."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from . import counts, ledger
from .migrate import LOCK
from .sqlstates import EXISTS_ALREADY, NOT_ALLOWED, sqlstate
from .tables import KIT_TABLES
from .task_role import right_over_ledger

VARIABLE = "TASKYARD_TASK_DATABASE_URL"
_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE")


class RoleUnusable(Exception):
    """Tasks cannot have this role; the message says why and what to do, in one line."""


class Step(NamedTuple):
    """Something that the role needs, and the question whether it has it."""

    statement: str
    is_done: str


def prepare(database_url: str, task_database_url: str) -> None:
    """Makes the role of the second address where it is missing, and grants what it needs, as the role of the first one;
    may be repeated.

    Raises RoleUnusable where the role could touch the ledger, and where this account may not grant something: the
    message then has the statements for an administrator. Raises LedgerUnavailable and DBAPIError, too.
    """
    url = sa.make_url(task_database_url)
    if not url.username:
        raise RoleUnusable(f"{VARIABLE} names no role: postgresql://role:password@host:port/name")
    engine = ledger.make_engine(database_url, pool_size=1)
    try:
        with ledger.transaction(engine) as conn:
            _prepare(conn, url.username, url.password)
    finally:
        engine.dispose()


def _prepare(conn: Connection, role: str, password: str | None) -> None:
    conn.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    steps = _steps(conn, role)
    if not _exists(conn, role):
        _try(conn, _creation(role, _hashed(conn, role, password)))
    if not _exists(conn, role):
        raise _for_an_administrator(conn, role, [_creation(role, "'...'"), *(step.statement for step in steps)])
    right = right_over_ledger(conn, role)
    if right is not None:
        raise RoleUnusable(
            f"the role {role} of {VARIABLE} could touch the ledger's tables: it has {right}. Take that right from it,"
            " or name a role that does not exist yet"
        )
    for step in steps:
        if not _try(conn, step.statement):
            _try_as_member(conn, role, step.statement)
    # Not by the errors: a GRANT without the right to it may be no more than a warning.
    missing = [step.statement for step in steps if not _run(conn, step.is_done).scalar()]
    if missing:
        raise _for_an_administrator(conn, role, missing)


def _steps(conn: Connection, role: str) -> list[Step]:
    of_task = "SELECT current_database(), relnamespace::regnamespace::text FROM pg_class WHERE oid = 'task'::regclass"
    database, schema = _run(conn, of_task).one()
    to, name = _identifier(role), _literal(role)
    own = f"(SELECT oid FROM pg_namespace WHERE nspname = {name})"  # noqa: S608 - made of literals
    return [
        Step(
            f"GRANT CONNECT ON DATABASE {_identifier(database)} TO {to}",
            f"SELECT has_database_privilege({name}, current_database(), 'CONNECT')",
        ),
        # "$user" comes first in the default search_path: the kits of users find their tables here.
        Step(
            f"CREATE SCHEMA IF NOT EXISTS {to} AUTHORIZATION {to}",
            f"SELECT has_schema_privilege({name}, {own}, 'CREATE') AND has_schema_privilege({name}, {own}, 'USAGE')",
        ),
        Step(
            f"GRANT USAGE ON SCHEMA {schema} TO {to}",
            f"SELECT has_schema_privilege({name}, {_literal(schema)}::regnamespace, 'USAGE')",
        ),
        *(
            Step(
                f"GRANT {', '.join(_KINDS)} ON {schema}.{table} TO {to}",
                f"SELECT bool_and(has_table_privilege({name}, {_literal(f'{schema}.{table}')}, kind))"  # noqa: S608
                f" FROM unnest('{{{','.join(_KINDS)}}}'::text[]) kind",
            )
            for table in KIT_TABLES
        ),
        Step(
            f"GRANT USAGE ON SCHEMA {counts.SCHEMA} TO {to}",
            f"SELECT has_schema_privilege({name}, '{counts.SCHEMA}', 'USAGE')",
        ),
        *(
            Step(
                f"GRANT EXECUTE ON FUNCTION {function} TO {to}",
                f"SELECT has_function_privilege({name}, {_literal(function)}, 'EXECUTE')",
            )
            for function in counts.FUNCTIONS
        ),
    ]


def _creation(role: str, password: str | None) -> str:
    return f"CREATE ROLE {_identifier(role)} LOGIN{f' PASSWORD {password}' if password else ''}"


def _hashed(conn: Connection, role: str, password: str | None) -> str | None:
    """The password as a literal, hashed: PostgreSQL may write statements into its log."""
    if not password:
        return None
    driver = conn.connection.driver_connection
    assert driver is not None
    return _literal(driver.pgconn.encrypt_password(password.encode(), role.encode()).decode())


def _exists(conn: Connection, role: str) -> bool:
    found = conn.execute(sa.text("SELECT FROM pg_roles WHERE rolname = :role"), {"role": role}).first()
    return found is not None


def _try(conn: Connection, *statements: str) -> bool:
    """False where this account may not do it, and where another process, in another database, has made the role."""
    try:
        with conn.begin_nested():
            for statement in statements:
                _run(conn, statement)
    except DBAPIError as e:
        if sqlstate(e) not in {NOT_ALLOWED, *EXISTS_ALREADY}:
            raise
        return False
    return True


def _try_as_member(conn: Connection, role: str, statement: str) -> bool:
    """An account that may make roles is no member of those it made, and a member only may give a schema to a role."""
    name = _identifier(role)
    return _try(conn, f"GRANT {name} TO CURRENT_USER", statement, f"REVOKE {name} FROM CURRENT_USER")


def _run(conn: Connection, statement: str) -> sa.CursorResult[*tuple[Any, ...]]:
    return conn.exec_driver_sql(statement, execution_options={"no_parameters": True})  # a name may hold a %


def _for_an_administrator(conn: Connection, role: str, statements: list[str]) -> RoleUnusable:
    account, database = _run(conn, "SELECT current_user, current_database()").one()
    return RoleUnusable(
        f"the role {role} of {VARIABLE} needs what {account} may not give it. Run as an administrator in the database"
        f" {database}: {'; '.join(statements)};"
    )


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string()


def _literal(text: str) -> str:
    return sql.Literal(text).as_string().strip()
