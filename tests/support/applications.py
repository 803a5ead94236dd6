"""An application of its own beside the platform: a role of few rights in the same database, with a table."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.store import ledger, submit_roles
from taskyard.store.audit import Actor

BY = Actor("cli:tests")
LIFE = timedelta(hours=24)
_NUMBER = itertools.count()


@contextmanager
def application(
    engine: Engine, database_url: str, *, queues: Sequence[str] | None = None, grant: bool = True
) -> Iterator[str]:
    """The address of a new login role, which has a schema of its name with a table `orders`."""
    role = f"app_{os.getpid()}_{next(_NUMBER)}"
    with ledger.transaction(engine) as conn:
        for statement in (
            f"CREATE ROLE {role} LOGIN PASSWORD 'of-the-app'",
            f"CREATE SCHEMA {role} AUTHORIZATION {role}",
            f"CREATE TABLE {role}.orders (id uuid PRIMARY KEY, task_id uuid)",
            f"ALTER TABLE {role}.orders OWNER TO {role}",
        ):
            conn.exec_driver_sql(statement)
        if grant:
            submit_roles.grant(conn, role, queues, BY, life=LIFE)
    url = sa.make_url(database_url).set(drivername="postgresql", username=role, password="of-the-app")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        with ledger.transaction(engine) as conn:
            conn.exec_driver_sql(f"DROP OWNED BY {role} CASCADE")
            conn.exec_driver_sql(f"DROP ROLE {role}")


def role_of(url: str) -> str:
    return str(sa.make_url(url).username)


def submit(conn: psycopg.Connection[Any], name: str | None, params: str = "{}", options: str = "{}") -> Any:
    """The id of the task, by the function itself."""
    row = conn.execute("SELECT taskyard_sql.submit(%s, %s, %s)", [name, params, options]).fetchone()
    assert row is not None
    return row[0]
