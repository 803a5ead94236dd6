"""app    the address of an application's role that may submit to all queues"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from taskyard.lifecycle import workers
from taskyard.settings import DEFAULT_QUEUES
from taskyard.store import ledger
from tests.support.applications import application
from tests.support.specs import register_kits


@pytest.fixture
def app(engine: Engine, database_url: str) -> Iterator[str]:
    register_kits(engine)
    with ledger.connection(engine) as conn:
        workers.ensure_queues(conn, DEFAULT_QUEUES)
    with application(engine, database_url) as url:
        yield url
