"""webhooks.deliver: what each answer of a receiver means for the task. The receiver is a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine

from taskyard.catalogue.kits import load
from taskyard.catalogue.secrets import Cipher
from taskyard.domain import callbacks
from taskyard.domain.ids import new_id
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Failed, RetryIn
from taskyard.outbound.retry_after import LONGEST_WAIT, retry_after
from taskyard.outbound.signing import make_secret
from taskyard.running.trial import TaskRun, run_task
from taskyard.running.webhooks import Webhooks
from taskyard.settings import Settings
from taskyard.store import ledger, webhook_endpoints
from taskyard.store.webhook_endpoints import WebhookEndpoint
from taskyard_kits.webhooks.settings import WebhookSettings
from tests.support.receiver import Receiver, receiver

KEY = Fernet.generate_key().decode()
LOCAL = WebhookSettings.model_validate({"outbound_networks": "127.0.0.0/8"})
Deliver = Callable[..., TaskRun]


@pytest.fixture
def other_end() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def endpoint(engine: Engine, other_end: Receiver) -> WebhookEndpoint:
    sealed = Cipher([KEY]).seal(make_secret())
    url = f"{other_end.url}/hooks"
    new = WebhookEndpoint(id=new_id(), url=url, description="", submitted_by="ci", secret=sealed)
    with ledger.transaction(engine) as conn:
        return webhook_endpoints.insert(conn, new)


@pytest.fixture
def deliver(engine: Engine, endpoint: WebhookEndpoint) -> Deliver:
    def run(url: str, settings: WebhookSettings = LOCAL, **more: Any) -> TaskRun:
        params = {"endpoint_id": str(endpoint.id), "url": url, "payload": {"type": "task.succeeded"}, **more}
        webhooks = Webhooks(partial(ledger.run_transaction, engine), Cipher([KEY]))
        return run_task("webhooks.deliver", params, settings=settings, webhooks=webhooks)

    return run


def test_the_declared_type_is_what_the_ledger_enters() -> None:
    declared = load(Settings()).catalogue[callbacks.DELIVER]
    assert declared.queue == callbacks.QUEUE
    assert declared.retry.max_attempts == callbacks.MAX_ATTEMPTS
    assert (declared.soft_limit, declared.hard_limit) == (callbacks.SOFT_LIMIT, callbacks.HARD_LIMIT)
    assert (declared.version, declared.is_async) == (1, True)
    longest = sum((_longest(declared.retry, n) for n in range(1, callbacks.MAX_ATTEMPTS)), timedelta())
    assert timedelta(hours=20) < longest < callbacks.LIFE


def _longest(policy: RetryPolicy, failures: int) -> timedelta:
    return policy.delay(failures, rand=lambda: 1.0)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_a_delivery(deliver: Deliver, other_end: Receiver, status: int) -> None:
    other_end.answers.append((status, {}))
    assert deliver(other_end.url).result == {"status": "delivered", "reason": None, "answer": status}


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500, 503])
def test_every_other_answer_is_tried_again(deliver: Deliver, other_end: Receiver, status: int) -> None:
    other_end.answers.append((status, {"Location": "/x"}))
    run = deliver(other_end.url)
    assert isinstance(run.outcome, RetryIn)
    assert (run.fault.code, run.fault.values) == ("webhook_refused", {"status": status})


def test_retry_after_is_honoured(deliver: Deliver, other_end: Receiver) -> None:
    other_end.answers.append((503, {"Retry-After": "120"}))
    run = deliver(other_end.url)
    assert isinstance(run.outcome, RetryIn)
    assert run.outcome.delay == timedelta(seconds=120)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Sat, 31 Jan 2026 12:01:00 GMT", 60),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("9" * 400, LONGEST_WAIT.total_seconds()),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT.total_seconds()),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_bounded(header: str | None, seconds: float | None) -> None:
    found = retry_after(header, now=datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_a_410_disables_the_endpoint_and_nothing_more_is_sent(
    deliver: Deliver, other_end: Receiver, endpoint: WebhookEndpoint, engine: Engine
) -> None:
    other_end.answers.append((410, {}))
    run = deliver(f"{endpoint.url}/a?b=c")
    assert isinstance(run.outcome, Failed)
    assert run.fault.code == "webhook_gone"
    assert is_disabled(engine, endpoint)
    assert deliver(endpoint.url).result["reason"] == "endpoint_disabled"
    assert len(other_end.got) == 1


def test_a_410_at_an_address_that_the_default_endpoint_signs_for_disables_it_for_nobody(
    deliver: Deliver, other_end: Receiver, endpoint: WebhookEndpoint, engine: Engine
) -> None:
    """Any caller could otherwise silence the callbacks of all others."""
    other_end.answers.append((410, {}))
    run = deliver(f"{other_end.url}/of-somebody-else")
    assert isinstance(run.outcome, Failed), "this one message is not tried again"
    assert run.fault.code == "webhook_address_gone"
    assert not is_disabled(engine, endpoint)
    assert deliver(endpoint.url).result["status"] == "delivered"


def is_disabled(engine: Engine, endpoint: WebhookEndpoint) -> bool:
    with ledger.connection(engine) as conn:
        found = webhook_endpoints.get(conn, endpoint.id)
    assert found is not None
    return found.disabled_at is not None


def test_what_was_to_go_to_a_deleted_endpoint_is_not_sent(deliver: Deliver, other_end: Receiver) -> None:
    assert deliver(other_end.url, endpoint_id=str(new_id())).result["reason"] == "endpoint_deleted"
    assert not other_end.got


def test_an_address_that_is_not_public_is_refused_for_good(deliver: Deliver, other_end: Receiver) -> None:
    run = deliver(other_end.url, WebhookSettings())
    assert isinstance(run.outcome, Failed)
    assert run.fault.code == "webhook_address_refused"
    assert not other_end.got


def test_a_receiver_that_does_not_answer_is_tried_again_and_people_are_told_why(deliver: Deliver) -> None:
    run = deliver("http://127.0.0.1:1/")
    assert isinstance(run.outcome, RetryIn)
    assert run.fault.code == "webhook_unanswered"
    assert "there is no connection to it" in run.fault.message


def test_a_progress_is_not_told_of_a_task_that_has_ended(deliver: Deliver, other_end: Receiver) -> None:
    gone = deliver(other_end.url, payload=None, progress_of=str(new_id()))
    assert gone.result == {"status": "not_sent", "reason": "task_ended", "answer": None}
    assert not other_end.got
