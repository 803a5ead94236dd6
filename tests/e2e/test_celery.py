"""Callers that come from Celery, against real services."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from taskyard_client import Client, Conflict, Invalid, NotFound, TaskCancelled, TaskFailed
from taskyard_client.celery import AsyncResult, Celery, lanes
from tests.support.fleet import KEY, Fleet, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def app(fleet: Fleet) -> Iterator[Celery]:
    fleet.environment["TASKYARD_TASK_MODULES"] = "tests.support.celery_types"
    fleet.start_api()
    fleet.start_scheduler()
    fleet.start_worker(queues="default,high_priority,low_priority,geo_processing")
    with Client(f"http://127.0.0.1:{fleet.port}", KEY) as client:
        yield Celery("shop", client=client)


def queue_of(app: Celery, result: AsyncResult) -> str:
    return app.client.task(result.id).queue


def test_code_that_calls_celery_calls_taskyard(app: Celery, fleet: Fleet) -> None:
    """One stack for all of it: it starts in seconds."""
    invoice = app.task("tests.invoice")

    # Positional arguments follow the declaration, not the alphabet.
    expected: dict[str, Any] = {"zone": "eu", "customer_reference": "ada", "amount": 3}
    assert invoice.delay("eu", "ada", 3).get(timeout=60) == expected
    assert invoice.delay("eu", customer_reference="ada", amount=3).get(timeout=60) == expected
    assert invoice.apply_async(("eu", "ada"), {"amount": 3}).get(timeout=60) == expected
    assert app.send_task("tests.invoice", kwargs=expected).get(timeout=60) == expected
    with pytest.raises(TypeError, match="multiple values for argument 'zone'"):
        invoice.delay("eu", zone="us")
    with pytest.raises(TypeError, match="takes 3 arguments"):
        invoice.delay(1, 2, 3, 4)
    with pytest.raises(Invalid, match="/params/amount"):
        invoice.delay("eu", "ada", "much")
    with pytest.raises(TypeError, match="link"):
        invoice.apply_async(("eu", "ada"), link=invoice)

    # When.
    soon = invoice.apply_async(("eu", "ada"), countdown=3600, serializer="json", retry=True)
    assert soon.state == "PENDING"
    naive = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    task = app.client.task(invoice.apply_async(("eu", "ada"), eta=naive, expires=7200).id)
    assert task.run_at is not None
    assert task.expires_at is not None
    assert abs((task.run_at - naive.replace(tzinfo=UTC)).total_seconds()) < 1
    assert timedelta(seconds=3500) < task.expires_at - task.run_at < timedelta(seconds=3700)

    # Results.
    soon.revoke()
    assert (soon.state, soon.ready(), soon.successful()) == ("REVOKED", True, False)
    with pytest.raises(TaskCancelled):
        soon.get()
    soon.revoke()  # what has ended stays as it is
    assert soon.retry().get(timeout=60)["amount"] == 1
    slow = app.task("tests.slow").delay(60)
    wait_for(lambda: slow.state == "PROGRESS", 30, "progress", every=0.1)
    assert slow.info["percent"] == 40
    assert not slow.ready()
    slow.revoke()
    assert slow.state == "PROGRESS", "without terminate what runs goes on"
    with pytest.raises(TimeoutError):
        slow.get(timeout=0.3)
    slow.revoke(terminate=True)
    wait_for(lambda: slow.state == "REVOKED", 30, "the end", every=0.1)
    failing = app.send_task("diagnostics.fail", kwargs={"times": 99, "kind": "permanent"})
    with pytest.raises(TaskFailed) as failure:
        failing.get(timeout=60)
    assert (failing.state, failing.successful()) == ("FAILURE", False)
    assert str(failing.result) == str(failure.value) == str(failing.get(propagate=False))
    assert AsyncResult(failing.id) == app.AsyncResult(failing.id) == failing
    assert AsyncResult(failing.id).status == "FAILURE", "of the app that was made last"
    with pytest.raises(NotFound):
        _ = AsyncResult(str(uuid4())).state

    # Ids.
    chosen = str(uuid4())
    assert invoice.apply_async(("eu", "ada"), task_id=chosen).id == chosen
    with pytest.raises(Conflict) as taken:
        invoice.apply_async(("eu", "ada"), task_id=chosen)
    assert taken.value.task is not None
    assert str(taken.value.task.id) == chosen
    with pytest.raises(ValueError, match=r"no UUID.*idempotency_key"):
        invoice.apply_async(("eu", "ada"), task_id="invoice-7")
    first, again = (invoice.apply_async(("eu", "ada"), idempotency_key="invoice-7") for _ in range(2))
    assert first == again

    # Queues and priorities.
    assert queue_of(app, invoice.apply_async(("eu", "ada"), queue="low_priority")) == "low_priority"
    with pytest.raises(ValueError, match=r"Redis.*RabbitMQ"):
        invoice.apply_async(("eu", "ada"), priority=0)
    redis = Celery(client=app.client, priorities=lanes(first=0)).task("tests.invoice")
    rabbit = Celery(client=app.client, priorities=lanes(first=9)).task("tests.invoice")
    assert queue_of(app, redis.apply_async(("eu", "ada"), priority=0)) == "high_priority"
    assert queue_of(app, redis.apply_async(("eu", "ada"), priority=9)) == "low_priority"
    assert queue_of(app, redis.apply_async(("eu", "ada"), priority=5)) == "default"
    assert queue_of(app, rabbit.apply_async(("eu", "ada"), priority=9)) == "high_priority"
    with pytest.raises(ValueError, match="priority 255"):
        redis.apply_async(("eu", "ada"), priority=255)
    with pytest.raises(ValueError, match="one of both"):
        redis.apply_async(("eu", "ada"), priority=0, queue="default")
