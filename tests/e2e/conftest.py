"""A fleet on the shared servers, and one on servers of its own that may be stopped and flushed. In both databases only
the composer may change a task's state."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskyard_dev.home import temporary
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.support.browsing import Stack, stack_with_browser
from tests.support.composed import guard_moves, release_moves
from tests.support.fleet import Fleet


@pytest.fixture(scope="session")
def console_stack() -> Iterator[Stack]:
    """A whole stack and a browser, for all modules that look at the console: they run in one process, one after the
    other."""
    with temporary("console") as home, stack_with_browser(home) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Fleet]:
    made = Fleet(tmp_path, database_url, redis_url)
    guard_moves(made.engine)
    yield made
    made.stop()
    release_moves(made.engine)  # the database is another test's next


@pytest.fixture
def own_fleet(tmp_path: Path, own_postgres: Postgres, own_valkey: Valkey) -> Iterator[Fleet]:
    made = Fleet(tmp_path, own_postgres.url(), own_valkey.url)
    guard_moves(made.engine)
    yield made
    made.stop()
