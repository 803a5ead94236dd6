"""Harnesses for a child's parts on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.store import ledger
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.integration.worker.harness import Harness


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    made = make_redis(redis_url)
    yield made
    made.close()


@pytest.fixture
def harness(engine: Engine, client: redis.Redis) -> Iterator[Harness]:
    """A ledger, a broker, and a worker that lives."""
    made = Harness(engine, client)
    yield made
    made.close()


@pytest.fixture
def own_harness(own_postgres: Postgres, own_valkey: Valkey) -> Iterator[Harness]:
    """On servers of its own, to be stopped and killed."""
    engine, client = ledger.make_engine(own_postgres.url()), make_redis(own_valkey.url)
    made = Harness(engine, client)
    yield made
    made.close()
    engine.dispose()
    client.close()
