"""Tasks start when their time has come."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from taskyard_scheduler.guard import Guard
from taskyard_scheduler.promotion import LONGEST_SLEEP_SECONDS, Promotion
from tests.support.scheduling import Office, eventually, put_in, scalar


@pytest.fixture
def promotion(office: Office) -> Iterator[Promotion]:
    def guard(name: str, work: Callable[[], None]) -> Guard:
        return Guard(
            name,
            work,
            office.leadership,
            database=office.telemetry.dependency("database"),
            broker=office.telemetry.dependency("redis"),
            clock=time.monotonic,
        )

    made = Promotion(office.leadership, office.dispatcher, office.client, office.names, office.metrics, guard=guard)
    yield made
    if made._thread.is_alive():
        made.stop()


def test_a_due_task_is_queued_and_published_and_told(
    office: Office, promotion: Promotion, engine: Engine, redis_client: redis.Redis
) -> None:
    task = put_in(engine, 1, delay=0.05).tasks[0]
    client: Any = redis_client
    with client.pubsub(ignore_subscribe_messages=True) as events:
        events.subscribe(office.names.events)
        events.get_message(timeout=1)
        time.sleep(0.1)
        promotion.turn()
        eventually(office.messages)

        def heard() -> str | None:
            # Other test processes tell of their tasks on the same channel.
            said = events.get_message(timeout=0.1)
            return said["data"] if said and str(task.id) in said["data"] else None

        told = eventually(heard, every=0)
    assert office.messages() == [f"{task.id}:1"]
    assert '"queued"' in told
    eventually(lambda: scalar(engine, "SELECT count(*) FROM outbox") == 0)


def test_it_sleeps_until_the_next_due_time(promotion: Promotion, engine: Engine) -> None:
    promotion.turn()
    assert promotion._sleep_seconds == LONGEST_SLEEP_SECONDS
    put_in(engine, 1, delay=4.0)
    promotion.turn()
    assert 1.0 < promotion._sleep_seconds <= 4.0
    put_in(engine, 1, delay=3600)
    promotion.turn()
    assert promotion._sleep_seconds < 4.0


def test_it_is_woken_when_something_is_due_earlier(office: Office, promotion: Promotion, engine: Engine) -> None:
    """With nothing due it sleeps for five seconds: a task due in a moment must not wait for that."""
    promotion.start()
    time.sleep(0.3)
    started = time.monotonic()
    put_in(engine, 1, delay=0.3)
    office.publisher.publish((), wake_scheduler=True)
    eventually(office.messages)
    assert 0.25 < time.monotonic() - started < 4


def test_many_due_tasks_are_promoted_without_a_pause(office: Office, promotion: Promotion, engine: Engine) -> None:
    put_in(engine, 2500, delay=0.01)
    time.sleep(0.05)
    promotion.start()
    began = time.monotonic()
    eventually(lambda: len(office.messages()) == 2500)
    assert time.monotonic() - began < LONGEST_SLEEP_SECONDS


def test_a_waiting_task_past_its_life_fails(office: Office, promotion: Promotion, engine: Engine) -> None:
    put_in(engine, 1, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    promotion.turn()
    assert scalar(engine, "SELECT error ->> 'code' FROM task WHERE state = 'failed'") == "expired"
    assert office.value("tasks_dead_lettered_total", reason="expired") == 1


def test_a_standby_promotes_nothing(office: Office, promotion: Promotion, engine: Engine) -> None:
    office.leadership.resign()
    put_in(engine, 1, delay=0.01)
    promotion.start()
    time.sleep(0.5)
    assert scalar(engine, "SELECT state FROM task") == "scheduled"
