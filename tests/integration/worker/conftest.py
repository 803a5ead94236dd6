"""Harnesses for a child's parts on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.store import ledger
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.integration.worker.harness import Harness
from tests.integration.worker.processes import LedgerFleet
from tests.support.fleet import Fleet


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


@pytest.fixture
def workers(
    tmp_path: Path, database_url: str, redis_url: str, engine: Engine, client: redis.Redis
) -> Iterator[LedgerFleet]:
    fleet = Fleet(tmp_path, database_url, redis_url)
    harness = Harness(engine, client)
    yield LedgerFleet(fleet, harness)
    fleet.stop()
    harness.close()


@pytest.fixture
def own_workers(
    tmp_path: Path, own_postgres: Postgres, own_valkey: Valkey, own_harness: Harness
) -> Iterator[LedgerFleet]:
    """On servers of its own."""
    fleet = Fleet(tmp_path, own_postgres.url(), own_valkey.url)
    yield LedgerFleet(fleet, own_harness)
    fleet.stop()
