from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import Publisher


@pytest.fixture
def names() -> Names:
    """A namespace for this test process alone: channels are shared by all databases of a server."""
    return Names("contract-" + os.environ.get("PYTEST_XDIST_WORKER", "main"))


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client as the services make it: answers are bytes."""
    with make_redis(redis_url) as made:
        yield made


@pytest.fixture
def publisher(client: redis.Redis, names: Names) -> Publisher:
    return Publisher(client, names)
