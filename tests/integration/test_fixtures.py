"""Each test gets the servers in a clean state."""

from collections.abc import Callable

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard_dev.postgres import Postgres
from taskyard_dev.valkey import Valkey
from tests.support.databases import CleanDatabase


def dsn(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_database_is_as_the_migrations_left_it(engine: Engine, turn: str) -> None:
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM alembic_version")) == 1
        connection.execute(sa.text("DELETE FROM alembic_version"))


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_redis_database_is_empty(redis_client: redis.Redis, turn: str) -> None:
    assert redis_client.dbsize() == 0
    redis_client.set("left", "over")


def test_what_a_test_wrote_is_gone_and_what_was_there_is_back(postgres: Postgres) -> None:
    postgres.create_database("fixture_clean")
    with postgres.connect("fixture_clean") as connection:
        connection.execute("CREATE TABLE seeded (id int GENERATED ALWAYS AS IDENTITY, name text)")
        connection.execute("CREATE TABLE empty (id int)")
        connection.execute("INSERT INTO seeded (name) VALUES ('kept')")
        database = CleanDatabase.fresh(dsn(postgres.url("fixture_clean")))
        connection.execute("INSERT INTO seeded (name) VALUES ('new')")
        connection.execute("INSERT INTO empty VALUES (1)")
    forgotten = postgres.connect("fixture_clean")
    forgotten.execute("BEGIN")
    forgotten.execute("LOCK TABLE empty")
    database.restore()
    forgotten.close()
    with postgres.connect("fixture_clean") as connection:
        assert connection.execute("SELECT name FROM seeded").fetchall() == [("kept",)]
        assert connection.execute("SELECT count(*) FROM empty").fetchone() == (0,)
    postgres.drop_database("fixture_clean")


def test_one_more_database_is_another_one(new_database: Callable[[], str], database_url: str) -> None:
    assert new_database() != database_url


def test_own_servers_may_be_stopped_and_flushed(own_servers: tuple[Postgres, Valkey]) -> None:
    postgres, valkey = own_servers
    with postgres.connect() as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    postgres.stop()
    postgres.start()
    with valkey.client() as client:
        client.flushall()
