from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from taskyard.store import ledger
from tests.integration.lifecycle.rows import Worker, register


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """A connection whose every statement commits, as the services use it."""
    with ledger.connection(engine) as connection:
        yield connection


@pytest.fixture
def worker(conn: Connection) -> Worker:
    return Worker(conn, register(conn))
