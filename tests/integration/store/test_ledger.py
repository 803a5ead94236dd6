"""Connections: errors are classified, nothing waits for ever, and a failed connection recovers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.submit import submit
from taskyard.store import ledger
from taskyard.store.ledger import Plans
from taskyard.store.prepared import Prepared
from taskyard.store.sqlstates import sqlstate
from taskyard_dev.postgres import Postgres
from tests.integration.lifecycle.rows import new
from tests.support.proxy import Proxy


def one(conn: Connection) -> int:
    return int(conn.execute(sa.text("SELECT 1")).scalar_one())


@pytest.fixture
def away(own_postgres: Postgres) -> Iterator[tuple[Postgres, Engine]]:
    """A server that may be stopped, and an engine that knows it."""
    engine = ledger.make_engine(own_postgres.url(), pool_size=2, connect_timeout=timedelta(seconds=1))
    yield own_postgres, engine
    engine.dispose()


def test_each_statement_commits_on_its_own(engine: Engine) -> None:
    with ledger.connection(engine) as conn:
        conn.execute(sa.text("INSERT INTO queue (name) VALUES ('a')"))
        with pytest.raises(DBAPIError):
            conn.execute(sa.text("INSERT INTO queue (name) VALUES ('a')"))
    with ledger.connection(engine) as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM queue")).scalar_one() == 1


def test_a_transaction_is_whole_or_nothing(engine: Engine) -> None:
    def fails() -> None:
        with ledger.transaction(engine) as conn:
            conn.execute(sa.text("INSERT INTO queue (name) VALUES ('a')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with ledger.transaction(engine) as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM queue")).scalar_one() == 0
        conn.execute(sa.text("INSERT INTO queue (name) VALUES ('b')"))
    with ledger.connection(engine) as conn:
        assert conn.execute(sa.text("SELECT name FROM queue")).scalar_one() == "b"
        driver = conn.connection.dbapi_connection
        assert driver is not None
        assert driver.autocommit is True, "and the connection is as before"


def test_a_deadlock_is_tried_again(engine: Engine) -> None:
    with ledger.connection(engine) as conn:
        conn.execute(sa.text("INSERT INTO queue (name) VALUES ('a'), ('b')"))
    meet, tries = threading.Barrier(2), {"a": 0, "b": 0}

    def cross(first: str, second: str) -> None:
        def verb(conn: Connection) -> None:
            tries[first] += 1
            touch = sa.text("UPDATE queue SET concurrent = coalesce(concurrent, 0) + 1 WHERE name = :name")
            conn.execute(touch, {"name": first})
            if tries[first] == 1:
                meet.wait(10)
            conn.execute(touch, {"name": second})

        ledger.run_transaction(engine, verb)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda names: cross(*names), [("a", "b"), ("b", "a")]))
    assert sorted(tries.values()) == [1, 2]
    with ledger.connection(engine) as conn:
        assert set(conn.execute(sa.text("SELECT concurrent FROM queue")).scalars()) == {2}


def test_a_serialisation_failure_is_retried_a_few_times_and_then_raised(engine: Engine) -> None:
    tries = []

    def verb(conn: Connection) -> None:
        tries.append(1)
        conn.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(DBAPIError) as caught:
        ledger.run(engine, verb, attempts=3)
    assert sqlstate(caught.value) == "40001"
    assert len(tries) == 3


def test_a_statement_that_was_deallocated_is_prepared_again(database_url: str) -> None:
    engine = ledger.make_engine(database_url, pool_size=1)

    def fails(conn: Connection) -> None:
        one(conn)
        raise ZeroDivisionError

    ledger.run(engine, lambda conn: submit(conn, [new()]))
    for _ in range(7):  # psycopg prepares it
        ledger.run(engine, one)
    with pytest.raises(ZeroDivisionError):  # and after a ROLLBACK deallocates all that its session has prepared
        ledger.run_transaction(engine, fails)
    for _ in range(2):
        assert ledger.run(engine, lambda conn: submit(conn, [new()])).outbox_ids
    engine.dispose()


_ENDS_AT_COMMIT = """
CREATE FUNCTION pg_temp.ends() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER ends AFTER INSERT ON kept DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION pg_temp.ends()
"""


@pytest.mark.parametrize(
    ("at_commit", "raised", "state"),
    [("", sa.exc.IntegrityError, "23505"), (_ENDS_AT_COMMIT, LedgerUnavailable, "57P01")],
    ids=["a deferred constraint", "the session is ended"],
)
def test_an_error_that_comes_after_the_rows_of_a_prepared_statement_is_that_error(
    database_url: str, at_commit: str, raised: type[Exception], state: str
) -> None:
    engine = ledger.make_engine(database_url, pool_size=1)
    insert = Prepared("keep", sa.text("INSERT INTO kept VALUES (:value), (:value) RETURNING value"), "value")

    def keep() -> None:
        with ledger.connection(engine) as conn:
            conn.exec_driver_sql("CREATE TEMP TABLE kept (value text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            conn.exec_driver_sql(at_commit or "SELECT 1")
            insert.one(conn, "a")

    with pytest.raises(raised) as caught:
        keep()
    assert sqlstate(caught.value.__cause__) == state
    assert ledger.run(engine, one) == 1
    engine.dispose()


@pytest.mark.parametrize("state", ["22P05", "23505", "42601", "P0001"])
def test_an_error_in_a_statement_does_not_count_as_unavailable(engine: Engine, state: str) -> None:
    def verb(conn: Connection) -> None:
        conn.execute(sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"))

    with pytest.raises(DBAPIError) as caught:
        ledger.run(engine, verb)
    assert sqlstate(caught.value) == state


@pytest.mark.parametrize(
    "state", ["08006", "57P01", "57P03", "53100", "53200", "53300", "58030", "25006", "55P03", "57014"]
)
def test_a_server_in_trouble_is_unavailable(engine: Engine, state: str) -> None:
    def verb(conn: Connection) -> None:
        conn.execute(sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"))

    with pytest.raises(LedgerUnavailable):
        ledger.run(engine, verb)
    assert ledger.run(engine, one) == 1


def test_a_statement_is_ended_in_its_time_and_the_connection_goes_on(database_url: str) -> None:
    engine = ledger.make_engine(database_url, pool_size=1, statement_timeout=timedelta(milliseconds=500))
    began = time.monotonic()
    with pytest.raises(LedgerUnavailable) as caught:
        ledger.run(engine, lambda conn: conn.execute(sa.text("SELECT pg_sleep(30)")))
    assert sqlstate(caught.value.__cause__) == "57014"
    assert time.monotonic() - began < 10
    assert ledger.run(engine, one) == 1
    engine.dispose()


def test_a_lock_is_not_waited_for_longer_than_a_statement_may_last(engine: Engine, database_url: str) -> None:
    hasty = ledger.make_engine(database_url, pool_size=1, statement_timeout=timedelta(milliseconds=500))
    with ledger.transaction(engine) as holder:
        holder.execute(sa.text("LOCK TABLE queue"))
        with pytest.raises(LedgerUnavailable):
            ledger.run(hasty, lambda conn: conn.execute(sa.text("SELECT * FROM queue")))
    assert ledger.run(hasty, one) == 1
    hasty.dispose()


def test_a_pool_that_is_used_up_is_unavailable_and_does_not_hang(database_url: str) -> None:
    engine = ledger.make_engine(database_url, pool_size=1, pool_timeout=timedelta(milliseconds=50))
    with ledger.connection(engine), pytest.raises(LedgerUnavailable):
        ledger.run(engine, one)
    assert ledger.run(engine, one) == 1
    engine.dispose()


def test_connections_to_a_server_that_became_a_standby_are_not_kept(database_url: str) -> None:
    """Behind one address, or where the address names several servers, the next connection finds the primary."""
    engine = ledger.make_engine(database_url, pool_size=1)
    with ledger.connection(engine) as conn:
        conn.execute(sa.text("SET default_transaction_read_only = on"))
    write = sa.text("INSERT INTO queue (name) VALUES ('a')")
    try:
        with pytest.raises(LedgerUnavailable, match="read-only"):
            ledger.run(engine, lambda conn: conn.execute(write))
        ledger.run(engine, lambda conn: conn.execute(write))
    finally:
        engine.dispose()


def test_a_port_without_a_server_is_unavailable(postgres: Postgres) -> None:
    url = sa.make_url(postgres.url())
    for other in (url.set(port=1), url.set(database="no_such_database"), url.set(password="wrong")):
        engine = ledger.make_engine(other.render_as_string(hide_password=False), connect_timeout=timedelta(seconds=1))
        with pytest.raises(LedgerUnavailable) as caught:
            ledger.run(engine, one)
        assert len(str(caught.value).splitlines()) == 1
        engine.dispose()


def test_every_connection_uses_utc_and_plans_anew(engine: Engine) -> None:
    def setting(name: str) -> str:
        return ledger.run(engine, lambda conn: str(conn.execute(sa.text(f"SHOW {name}")).scalar_one()))

    assert setting("timezone") == "UTC"
    assert setting("plan_cache_mode") == "force_custom_plan"
    assert setting("statement_timeout") == "30s"
    assert setting("lock_timeout") == "10s"
    assert setting("idle_in_transaction_session_timeout") == "1min"


def test_connections_that_only_insert_keep_their_plans(database_url: str) -> None:
    engine = ledger.make_engine(database_url, pool_size=1, plans=Plans.KEPT)
    for _ in range(20):
        ledger.run(engine, lambda conn: submit(conn, [new()]))
    kept = sa.text("SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%INSERT INTO task%'")
    assert ledger.run(engine, lambda conn: conn.execute(kept).scalar_one()) >= 8
    engine.dispose()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_while_postgresql_is_away_it_is_unavailable_and_afterwards_all_is_well(
    away: tuple[Postgres, Engine], how: str
) -> None:
    postgres, engine = away
    assert ledger.run(engine, one) == 1
    if how == "stop":
        postgres.stop()
    else:
        postgres.kill()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            ledger.run(engine, one)
        assert time.monotonic() - began < 10
    postgres.start()
    _until(lambda: ledger.run(engine, one) == 1)
    with ledger.transaction(engine) as conn:
        assert one(conn) == 1


def test_postgresql_that_goes_away_in_the_middle_is_unavailable(away: tuple[Postgres, Engine]) -> None:
    postgres, engine = away
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ledger.run, engine, lambda conn: conn.execute(sa.text("SELECT pg_sleep(30)")))
        with postgres.connect() as watch:
            _until(lambda: _asleep(watch))
        postgres.stop()
        with pytest.raises(LedgerUnavailable):
            call.result(timeout=30)
    postgres.start()
    _until(lambda: ledger.run(engine, one) == 1)


def test_after_a_restart_each_pooled_connection_fails_at_most_once_for_all(
    away: tuple[Postgres, Engine],
) -> None:
    postgres, engine = away
    with ledger.connection(engine) as a, ledger.connection(engine) as b:
        assert one(a) == one(b) == 1
    postgres.stop()
    postgres.start()
    failures = 0
    for _ in range(4):
        try:
            ledger.run(engine, one)
        except LedgerUnavailable:
            failures += 1
    assert failures <= 1


def _asleep(watch: psycopg.Connection) -> bool:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    row = watch.execute(statement).fetchone()
    return row is not None and row[0] > 0


def _until(holds: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():  # type: ignore[operator]
                return
        except LedgerUnavailable:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_errors_do_not_quote_the_values_of_a_statement(engine: Engine) -> None:
    with ledger.connection(engine) as conn, pytest.raises(DBAPIError) as refused:
        conn.execute(sa.text("SELECT CAST(:secret AS text), 1 / :zero"), {"secret": "hunter2", "zero": 0})
    assert "hunter2" not in str(refused.value)


def test_a_time_that_python_cannot_read_is_not_stored(engine: Engine) -> None:
    """psycopg cannot make a datetime of the year 10000, so every claim and list of such a row would fail."""
    insert = """INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds,
        state, run_at, expires_at) VALUES (gen_random_uuid(), 'a', 'default', '{}', 1, 1, 1, 'queued', now(), :at)"""
    with ledger.connection(engine) as conn:
        for at in ("10000-01-01T11:59:59Z", "infinity", "-infinity", "0001-01-01T00:00:00Z"):
            with pytest.raises(DBAPIError, match="expires_readably"):
                conn.execute(sa.text(insert.replace(":at", f"'{at}'")))
        conn.execute(sa.text(insert.replace(":at", "now()")))


@pytest.mark.parametrize("number", [1e30, -1e30, 1.7976931348623157e308, 1.5, 2**63, -(2**63), 2**64 - 1])
def test_numbers_come_back_from_jsonb_as_they_were(engine: Engine, number: float) -> None:
    """A float that comes back as an integer of thirty digits could not be written as JSON again."""
    with ledger.connection(engine) as conn:
        found = conn.execute(sa.text("SELECT CAST(:value AS jsonb)"), {"value": f"[{number!r}]"}).scalar_one()
    assert found == [number]
    assert type(found[0]) is type(number)


def test_a_silent_server_is_given_up(own_postgres: Postgres) -> None:
    """TCP does not show it: the kernel still acknowledges data for a stopped process."""
    with Proxy(("127.0.0.1", own_postgres.port)) as proxy:
        engine = ledger.make_engine(
            proxy.through(own_postgres.url()), pool_size=1, statement_timeout=timedelta(seconds=1)
        )
        assert ledger.run(engine, one) == 1
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            ledger.run(engine, one)
        assert time.monotonic() - began < 20
        proxy.restore()
        assert ledger.run(engine, one) == 1, "a late answer was taken for the answer to another statement"
        engine.dispose()
