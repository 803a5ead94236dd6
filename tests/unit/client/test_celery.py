"""What runs eagerly, for an application's tests without servers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from taskyard_client import Client, TaskFailed
from taskyard_client.celery import Celery, lanes


@pytest.fixture
def app() -> Celery:
    return Celery(client=Client("http://nobody.invalid"), task_always_eager=True)


def test_an_eager_task_runs_at_once_and_tells_its_result(app: Celery) -> None:
    @app.task("shop.add")
    def add(a: int, b: int = 2) -> int:
        return a + b

    result = add.delay(1, b=4)
    assert (result.state, result.get(), result.result, result.ready(), result.successful()) == (
        "SUCCESS",
        5,
        5,
        True,
        True,
    )
    assert app.AsyncResult(result.id).get() == 5
    chosen = uuid4()
    assert add.apply_async((1,), task_id=chosen, countdown=60).id == str(chosen)
    assert add(1) == 3, "a call is a call"
    result.revoke(terminate=True)
    assert result.state == "SUCCESS"


def test_an_eager_failure_is_told_as_that_of_a_worker(app: Celery) -> None:
    @app.task
    def fail() -> None:
        raise ZeroDivisionError("by zero")

    result = fail.delay()
    assert result.state == "FAILURE"
    with pytest.raises(TaskFailed, match="by zero"):
        result.get()
    app.conf.update(task_eager_propagates=True)
    with pytest.raises(ZeroDivisionError):
        fail.delay()


def test_what_could_not_be_sent_fails_eagerly_too(app: Celery) -> None:
    @app.task("shop.echo")
    def echo(value: Any) -> Any:
        return value

    with pytest.raises((TypeError, ValueError)):
        echo.delay(object())
    assert echo.delay(datetime(2026, 1, 1, tzinfo=UTC)).get() == "2026-01-01T00:00:00Z"
    assert echo.delay((1, 2)).get() == [1, 2]


def test_an_eager_task_without_a_function_says_how_to_give_it_one(app: Celery) -> None:
    with pytest.raises(TypeError, match=r"decorate one with app\.task"):
        app.task("shop.unknown").delay()
    with pytest.raises(TypeError, match="delay or apply_async"):
        app.task("shop.unknown")(1)


def test_a_function_runs_eagerly_for_code_that_only_names_its_task(app: Celery) -> None:
    """The application has tasks by name, as the README shows; its tests bring functions for them."""
    welcome = app.task("shop.welcome", queue="low_priority")

    @app.task("shop.welcome")
    def pretend(address: str) -> str:
        return f"to {address}"

    assert welcome.delay("ada").get() == "to ada"
    assert app.send_task("shop.welcome", kwargs={"address": "ben"}).get() == "to ben"
    with pytest.raises(TypeError, match="delay or apply_async"):
        welcome("ada")


@pytest.mark.parametrize("args", ["ada", b"ada", {"ada": 1}, {"ada"}, 7])
def test_positional_arguments_are_a_list_or_a_tuple(app: Celery, args: Any) -> None:
    with pytest.raises(TypeError, match="list or a tuple"):
        app.task("shop.add").apply_async(args)


@pytest.mark.parametrize("task_id", ["invoice-7", "", 7, b"7", ("a",)])
def test_a_task_id_that_is_no_uuid_is_refused_with_a_word_on_idempotency_keys(app: Celery, task_id: Any) -> None:
    with pytest.raises(ValueError, match=r"no UUID.*idempotency_key"):
        app.task("shop.add").apply_async(task_id=task_id)


def test_a_setting_of_celery_that_there_is_not_is_refused(app: Celery) -> None:
    with pytest.raises(AttributeError, match="task_acks_late"):
        app.conf.update(task_acks_late=True)


def test_a_priority_that_raises_in_production_raises_eagerly_too(app: Celery) -> None:
    @app.task("shop.nothing")
    def nothing() -> None: ...

    with pytest.raises(ValueError, match=r"Redis.*RabbitMQ"):
        nothing.apply_async(priority=0)
    ranked = Celery(client=app.client, priorities=lanes(first=0), task_always_eager=True)
    again = ranked.task("shop.nothing")(lambda: None)
    with pytest.raises(ValueError, match="priority 255"):
        again.apply_async(priority=255)
    with pytest.raises(ValueError, match="one of both"):
        again.apply_async(priority=0, queue="default")
    assert again.apply_async(priority=0).successful()


def test_priorities_cover_the_lanes_in_their_direction() -> None:
    redis, rabbit = lanes(first=0), lanes(first=9)
    assert [redis[n] for n in (0, 2, 3, 6, 7, 9)] == ["high_priority"] * 2 + ["default"] * 2 + ["low_priority"] * 2
    assert {n: rabbit[9 - n] for n in range(10)} == redis
    with pytest.raises(ValueError, match="Redis"):
        lanes(first=5)
