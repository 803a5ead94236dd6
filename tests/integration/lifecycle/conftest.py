from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from taskyard.store import ledger
from taskyard.store.ledger import Plans
from tests.integration.lifecycle.rows import Worker, register


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """A connection whose every statement commits, as the services use it."""
    with ledger.connection(engine) as connection:
        yield connection


@pytest.fixture
def by_key(database_url: str) -> Iterator[Engine]:
    """As the children of workers have it: claims and plain successes are not locked before they are updated."""
    engine = ledger.make_engine(database_url, plans=Plans.BY_KEY)
    yield engine
    engine.dispose()


@pytest.fixture(params=["anew", "by key"])
def either(request: pytest.FixtureRequest, engine: Engine, by_key: Engine) -> Engine:
    return by_key if request.param == "by key" else engine


@pytest.fixture
def worker(conn: Connection) -> Worker:
    return Worker(conn, register(conn))
