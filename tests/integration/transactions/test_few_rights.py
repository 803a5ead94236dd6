"""What a role of few rights cannot do by taskyard_sql, whatever it makes, sets or becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine

from taskyard.store import ledger, migrate, submit_roles
from taskyard.store.tables import LEDGER_TABLES
from tests.support.applications import BY, LIFE, application, role_of, submit
from tests.support.scheduling import execute, scalar
from tests.support.specs import register_kits

ECHO = "diagnostics.echo"


@pytest.fixture
def conn(app: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(app) as made:
        yield made


def test_the_role_can_read_and_write_no_table_of_the_ledger(conn: psycopg.Connection[Any]) -> None:
    for table in LEDGER_TABLES:
        for statement in (f"SELECT FROM {table}", f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                conn.execute(statement.encode())
    for function in ("refuse('', '')", "check_options('{}')", "check_params('{}')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
            conn.execute(f"SELECT taskyard_sql.{function}".encode())


def test_a_role_that_was_not_granted_submits_nothing(engine: Engine, database_url: str) -> None:
    with (
        application(engine, database_url, grant=False) as url,
        psycopg.connect(url) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        submit(conn, ECHO)


def test_objects_of_the_application_do_not_become_part_of_the_function(
    app: str, conn: psycopg.Connection[Any], engine: Engine
) -> None:
    """The search_path of the function is fixed: no table, function or operator of the caller's is used in it."""
    conn.execute("CREATE TEMP TABLE task (LIKE orders)")
    conn.execute("CREATE TEMP TABLE application_outbox (xid int)")
    conn.execute(
        f"CREATE FUNCTION {role_of(app)}.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        f" AS $$ SELECT '2000-01-01'::timestamptz $$".encode()
    )
    conn.execute(f"SET search_path = pg_temp, {role_of(app)}, pg_catalog".encode())
    task_id = submit(conn, ECHO)
    conn.commit()
    assert scalar(engine, "SELECT created_at FROM task WHERE id = :id", id=task_id).year > 2000


def test_a_function_of_the_caller_sees_no_queue_of_others(
    app: str, conn: psycopg.Connection[Any], engine: Engine
) -> None:
    """PostgreSQL calls what is cheap first: without a barrier, with the rows that the view hides."""
    execute(engine, "UPDATE submit_role SET queues = '{low_priority}'")
    seen: list[str] = []
    conn.add_notice_handler(lambda notice: seen.append(notice.message_primary or ""))
    spy = f"{role_of(app)}.spy"
    conn.execute(
        f"CREATE FUNCTION {spy}(text) RETURNS bool LANGUAGE plpgsql COST 0.000001"
        f" AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$".encode()
    )
    conn.execute(f"SELECT name FROM taskyard_sql.queue WHERE {spy}(name)".encode())
    assert seen == ["low_priority"]
    execute(engine, "UPDATE task_type SET retired_at = now() WHERE name = :name", name=ECHO)
    conn.execute(f"SELECT name FROM taskyard_sql.task_type WHERE {spy}(name)".encode())
    assert "email.send" in seen
    assert ECHO not in seen


def test_no_function_that_others_made_in_a_schema_of_the_search_path_gets_into_the_views(
    new_database: Callable[[], str],
) -> None:
    """The function reads the views as the owner of the tables, and unnest(text[]) fits better than unnest(anyarray)."""
    url = new_database()
    engine = ledger.make_engine(url)
    command.downgrade(migrate.config(url), "0009")
    execute(
        engine,
        "CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS"
        " $$ SELECT pg_catalog.unnest(CAST('{stolen}' AS text[])) $$",
    )
    migrate.upgrade(url)
    register_kits(engine)
    with application(engine, url, queues=["default"]) as app, psycopg.connect(app) as conn:
        assert conn.execute("SELECT queues FROM taskyard_sql.caller").fetchone() == (["default"],)
        submit(conn, ECHO)
    engine.dispose()


def test_set_role_neither_adds_nor_takes_queues(engine: Engine, database_url: str, app: str) -> None:
    """The role of the login decides."""
    execute(engine, "UPDATE submit_role SET queues = '{low_priority}'")
    with application(engine, database_url, queues=["default"]) as other, psycopg.connect(other) as conn:
        execute(engine, f"GRANT {role_of(other)} TO {role_of(app)}")
        with psycopg.connect(app) as member:
            for role in (role_of(app), role_of(other)):
                member.execute(f"SET ROLE {role}".encode())
                queues = member.execute("SELECT name, queues FROM taskyard_sql.caller").fetchone()
                assert queues == (role_of(app), ["default", "low_priority"])
        assert conn.execute("SELECT queues FROM taskyard_sql.caller").fetchone() == (["default"],)


def test_a_role_that_was_dropped_and_made_again_gives_its_members_nothing(engine: Engine, app: str) -> None:
    execute(engine, "UPDATE submit_role SET queues = '{low_priority}'")
    group = f"{role_of(app)}_group"
    execute(engine, f"CREATE ROLE {group}")
    with ledger.transaction(engine) as owner:
        submit_roles.grant(owner, group, ["default"], BY, life=LIFE)
    execute(engine, f"DROP OWNED BY {group}")
    execute(engine, f"DROP ROLE {group}")
    execute(engine, f"CREATE ROLE {group} ROLE {role_of(app)}")
    with psycopg.connect(app) as conn:
        assert conn.execute("SELECT queues FROM taskyard_sql.caller").fetchone() == (["low_priority"],)
    execute(engine, f"DROP ROLE {group}")
