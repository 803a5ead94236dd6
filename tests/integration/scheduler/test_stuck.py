"""A scheduler whose loops stand still ends, so that it is started anew; one that was frozen goes on."""

from collections.abc import Iterator

import pytest

from taskyard.catalogue.types import Catalogue
from taskyard.settings import Settings
from taskyard.telemetry.metrics import Metrics
from taskyard_scheduler.jobs import Work
from tests.support.scheduling import Clock, Office

SECONDS = 15.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(office: Office, redis_url: str, clock: Clock) -> Iterator[Work]:
    """Nothing of it turns unless the test says so."""
    settings = Settings.model_validate({"redis_url": redis_url})
    telemetry, leadership = Metrics("scheduler"), office.leadership
    made = Work(
        settings, office.engine, office.client, leadership, office.ground, telemetry, Catalogue([]), clock=clock
    )
    made.promotion.turned = clock()
    yield made
    made.contact._client.close()


def test_a_loop_that_stands_still_is_named(work: Work, clock: Clock) -> None:
    for _ in range(int(SECONDS) + 1):
        assert work.stuck(after_seconds=SECONDS) is None
        clock.now += 1.0
        work.promotion.turned = clock()
    assert work.stuck(after_seconds=SECONDS) == "jobs"
    work.ticked = clock()
    assert work.stuck(after_seconds=SECONDS) is None


def test_after_a_freeze_of_the_whole_process_no_loop_is_to_blame(work: Work, clock: Clock) -> None:
    assert work.stuck(after_seconds=SECONDS) is None
    clock.now += 60.0
    assert work.stuck(after_seconds=SECONDS) is None
    for _ in range(int(SECONDS) + 1):
        clock.now += 1.0
        found = work.stuck(after_seconds=SECONDS)
    assert found == "jobs", "they have as long as ever to turn again, and no longer"
