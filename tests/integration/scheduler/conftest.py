"""leader      the parts of a leader in the test's own process, which leads
schedulers  starts schedulers as processes; they end with the test
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.scheduling import LeaderParts, Scheduler


@pytest.fixture
def leader(engine: Engine, redis_url: str) -> Iterator[LeaderParts]:
    with LeaderParts(engine, redis_url) as made:
        yield made


@pytest.fixture
def schedulers(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Scheduler]]:
    started: list[Scheduler] = []

    def start(name: str, **more: str) -> Scheduler:
        environment = {"TASKYARD_DATABASE_URL": database_url, "TASKYARD_REDIS_URL": redis_url, **more}
        scheduler = Scheduler(tmp_path, name, **environment)
        started.append(scheduler)
        return scheduler

    yield start
    for scheduler in started:
        scheduler.end()
