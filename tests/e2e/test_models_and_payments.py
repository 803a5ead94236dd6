"""Models and payments from the submit to the other end: one stack, real processes, and servers that speak as Ollama,
LiteLLM and Stripe document it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis

from tests.support import model_servers, stripe_server
from tests.support.composed import guard_moves
from tests.support.fleet import KEY, Fleet, children, wait_for
from tests.support.http_stand_in import Reply
from tests.support.model_servers import LiteLLM, Ollama
from tests.support.stripe_server import VISA, Stripe

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PAYMENT = {"payment_id": "order-7", "amount": "12.50", "currency": "EUR", "payment_method": VISA}
DECLINED = "pm_card_visa_chargeDeclinedInsufficientFunds"


@dataclass(frozen=True)
class Stack:
    fleet: Fleet
    worker_pid: int
    ollama: Ollama
    litellm: LiteLLM
    stripe: Stripe

    def get(self, path: str, language: str = "en") -> Any:
        answer = self.fleet.http.get(path, headers={"Accept-Language": language})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def health(self, language: str = "en") -> Any:
        address = f"http://127.0.0.1:{self.fleet.port}/health/detailed"
        told = httpx.get(address, headers={"Authorization": f"Bearer {KEY}", "Accept-Language": language}, timeout=30)
        return told.json()["components"]["last_check"]

    def done(self, name: str, params: dict[str, Any] | None = None, state: str = "succeeded", **more: Any) -> Any:
        """The task, once it is in this state."""
        task_id = self.fleet.submit(name, params, **more)
        self.fleet.wait_state(task_id, state, seconds=40)
        return self.get(f"/tasks/{task_id}")

    def retry_now(self, task_id: str) -> None:
        due = "UPDATE task SET due_at = now(), run_at = now() WHERE id = :id AND state = 'retrying' RETURNING id"
        assert self.fleet.query(due, id=UUID(task_id))


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Stack]:
    with ExitStack() as exits:
        ollama = exits.enter_context(model_servers.ollama("llama3:latest", "mistral:7b"))
        litellm = exits.enter_context(model_servers.litellm("gpt-4o"))
        stripe = exits.enter_context(stripe_server.stripe())
        fleet = Fleet(tmp_path_factory.mktemp("models"), new_database(), new_redis_url())
        guard_moves(fleet.engine)
        exits.callback(fleet.stop)
        fleet.environment |= {
            "TASKYARD_CACHE_URL": new_redis_url(),
            "OLLAMA_BASE_URL": ollama.url,
            "LITELLM_BASE_URL": litellm.url,
            "LITELLM_API_KEY": model_servers.KEY,
            "STRIPE_BASE_URL": stripe.url,
            "STRIPE_SECRET_KEY": stripe_server.KEY,
        }
        worker = fleet.start_all(queues="high_priority,default,low_priority")
        yield Stack(fleet, worker.pid, ollama, litellm, stripe)


@pytest.fixture
def stack(running: Stack) -> Stack:
    """Everything answers, and nothing has been charged."""
    running.ollama.is_away = running.litellm.is_away = False
    running.ollama.fault = running.litellm.fault = None
    running.stripe.is_indexed = True
    running.stripe.intents.clear()
    running.stripe.calls.clear()
    running.stripe.before.clear()
    running.stripe.after.clear()
    running.stripe.charged = lambda: None
    return running


def test_the_models_are_asked_for_cached_and_told(stack: Stack) -> None:
    with redis.Redis.from_url(stack.fleet.environment["TASKYARD_CACHE_URL"]) as cache:
        cache.flushdb()
    before = stack.get("/models", "de")
    assert before["ollama_models"]["models"] == []
    assert before["ollama_models"]["message"].startswith("Es ist keine Liste")
    result = stack.done("models.refresh_cache")["result"]
    assert (result["ollama_models"], result["litellm_models"], result["failed"]) == (2, 1, {})
    told = stack.get("/models")
    assert told["ollama_models"]["models"] == ["llama3:latest", "mistral:7b"]
    assert told["litellm_models"]["models"] == ["gpt-4o"]
    assert told["ollama_models"]["cached_at"] == result["cached_at"]
    assert told["litellm_models"]["age_seconds"] >= 0
    with (
        redis.Redis.from_url(stack.fleet.environment["TASKYARD_CACHE_URL"]) as cache,
        redis.Redis.from_url(stack.fleet.environment["TASKYARD_REDIS_URL"]) as queues,
    ):
        assert len(cache.keys("taskyard:models:*")) == 2
        assert queues.keys("taskyard:models:*") == []

    stack.ollama.models.append("qwen3:4b")
    stack.litellm.is_away = True
    time.sleep(0.2)  # ages are told in tenths of a second
    again = stack.done("models.refresh_cache")["result"]
    assert again["failed"]["litellm"]["code"] == "provider_unanswered"
    shown = stack.get("/models")
    assert shown["ollama_models"]["models"] == ["llama3:latest", "mistral:7b", "qwen3:4b"]
    assert shown["litellm_models"]["models"] == ["gpt-4o"], "its older list stays, with the older age"
    assert shown["litellm_models"]["age_seconds"] > shown["ollama_models"]["age_seconds"]


def test_a_refresh_that_gets_no_list_fails_and_says_why_in_the_readers_language(stack: Stack) -> None:
    stack.done("models.refresh_cache")
    kept = stack.get("/models")["litellm_models"]["cached_at"]
    stack.ollama.is_away = stack.litellm.is_away = True
    away = stack.done("models.refresh_cache", state="failed", max_attempts=1)
    assert (away["error"]["code"], away["error"]["retryable"]) == ("provider_unanswered", True)
    told = stack.get(f"/tasks/{away['id']}", "hu")["error"]["message"]
    assert told.startswith("A szolgáltató (Ollama) nem válaszol: a kapcsolat a válasz előtt megszakadt")

    stack.ollama.is_away = stack.litellm.is_away = False
    stack.ollama.fault = stack.litellm.fault = Reply(401, {})
    refused = stack.done("models.refresh_cache", state="failed")
    assert (refused["attempt"], refused["error"]["code"]) == (1, "provider_key_refused")
    shown = stack.get(f"/tasks/{refused['id']}", "fr")["error"]["message"]
    assert shown.startswith("Le fournisseur Ollama n'accepte pas la clé.")
    assert stack.get("/models")["litellm_models"]["cached_at"] == kept, "the older list stays"


def test_a_provider_that_is_away_degrades_the_health_check_and_is_named(stack: Stack) -> None:
    stack.done("health.check")
    checks = stack.health()["checks"]
    assert {"ollama", "litellm", "cache"} < set(checks)
    assert all(check["status"] == "ok" and check["latency_ms"] > 0 for check in checks.values())

    stack.ollama.is_away = True
    assert stack.done("health.check")["result"]["status"] == "degraded"
    told = stack.health("de")
    assert told["status"] == "degraded"
    assert "ollama" in told["reason"]
    assert told["checks"]["ollama"]["code"] == "provider_unanswered"
    assert told["checks"]["ollama"]["reason"].startswith("Der Anbieter Ollama antwortet nicht: die Verbindung endete")
    assert told["checks"]["litellm"]["status"] == "ok"
    assert "127.0.0.1" not in str(told["checks"])


def test_a_payment_is_charged_and_a_decline_is_told_in_the_readers_language(stack: Stack) -> None:
    paid = stack.done("payments.process", PAYMENT)
    (charge,) = stack.stripe.charges
    assert paid["result"]["transaction_id"] == charge["id"]
    assert (charge["amount"], charge["currency"]) == (1250, "eur")
    assert charge["metadata"] == {"task_id": paid["id"], "payment_id": "order-7"}

    declined = stack.done("payments.process", {**PAYMENT, "payment_method": DECLINED}, "failed")
    assert (declined["attempt"], declined["error"]["code"]) == (1, "payment_declined")
    shown = stack.get(f"/tasks/{declined['id']}", "fr")["error"]["message"]
    assert shown.startswith("La carte a été refusée : la provision est insuffisante (insufficient_funds).")
    assert len(stack.stripe.charges) == 1
    body = {"name": "payments.process", "params": {**PAYMENT, "amount": "abc"}}
    wrong = stack.fleet.http.post("/tasks", json=body, headers={"Accept-Language": "fr"})
    assert wrong.status_code == 422
    (fault,) = wrong.json()["errors"]
    assert fault["pointer"] == "/params/amount"
    assert fault["message"].startswith("Doit être supérieur à 0, avec au plus neuf chiffres")


def test_a_payment_waits_as_stripe_asks_and_is_charged_once_over_a_lost_answer(stack: Stack) -> None:
    stack.stripe.before.append(stripe_server.asking_for_patience(stripe_server.LOCK_TIMEOUT, 500))
    stack.stripe.after.append(None)
    task_id = stack.fleet.submit("payments.process", PAYMENT)
    stack.fleet.wait_state(task_id, "retrying", seconds=40)
    told = stack.get(f"/tasks/{task_id}", "de")["error"]
    assert (told["code"], told["retryable"]) == ("stripe_busy", True)
    assert told["message"].startswith("Stripe bittet um weniger Aufrufe")
    [row] = stack.fleet.query("SELECT due_at - now() AS wait FROM task WHERE id = :id", id=UUID(task_id))
    assert timedelta(seconds=300) < row.wait <= timedelta(seconds=500), "as told, and not by the policy's 60 s"
    assert stack.stripe.charges == []

    stack.retry_now(task_id)
    wait_for(lambda: stack.get(f"/tasks/{task_id}")["attempt"] == 2, 40, "the second attempt")
    stack.fleet.wait_state(task_id, "retrying", seconds=40)
    assert stack.get(f"/tasks/{task_id}")["error"]["code"] == "stripe_unanswered"
    assert len(stack.stripe.charges) == 1

    stack.retry_now(task_id)
    stack.fleet.wait_state(task_id, "succeeded", seconds=40)
    (charge,) = stack.stripe.charges
    assert stack.get(f"/tasks/{task_id}")["result"]["transaction_id"] == charge["id"]


def test_a_card_is_charged_once_where_the_process_is_killed_between_the_charge_and_the_record(stack: Stack) -> None:
    victims: list[int] = []

    def kill() -> None:
        """The card is charged, and no answer was sent yet."""
        if not victims:
            victims.extend(children(stack.worker_pid))
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(map(_lives, victims)), 10, "the death")

    stack.stripe.charged = kill
    stack.stripe.is_indexed = False  # as Stripe's search in the first minute: the key alone has to do
    paid = stack.done("payments.process", PAYMENT)
    assert victims
    assert (paid["attempt"], paid["crashes"]) == (2, 1)
    (charge,) = stack.stripe.charges
    assert paid["result"]["transaction_id"] == charge["id"]
    asked = [(call.method, call.path) for call in stack.stripe.calls]
    post = ("POST", "/v1/payment_intents")
    assert asked == [post, ("GET", "/v1/payment_intents/search"), post]


def test_a_payment_that_is_cancelled_while_stripe_is_asked_says_that_it_may_have_charged(stack: Stack) -> None:
    asked, released = threading.Event(), threading.Event()

    def hold() -> None:
        asked.set()
        released.wait(30)

    stack.stripe.charged = hold
    try:
        task_id = stack.fleet.submit("payments.process", PAYMENT)
        assert asked.wait(30)
        assert stack.fleet.http.post(f"/tasks/{task_id}/cancel").status_code == 202
        stack.fleet.wait_state(task_id, "cancelled")
    finally:
        released.set()
    assert len(stack.stripe.charges) == 1
    told = stack.fleet.query("SELECT data FROM task_event WHERE task_id = :id AND kind = 'log'", id=UUID(task_id))
    assert ["may have been charged" in str(row.data) for row in told] == [True]


def test_no_key_and_no_card_is_seen_in_the_ledger_or_a_log(stack: Stack) -> None:
    stack.done("payments.process", PAYMENT)
    stack.done("payments.process", {**PAYMENT, "payment_method": DECLINED}, "failed")
    stack.done("models.refresh_cache")
    kept = [str(stack.fleet.query(f"SELECT * FROM {table}")) for table in ("task", "task_event", "task_attempt")]
    seen = "\n".join([*kept, stack.fleet.logs()])
    assert "insufficient_funds" in seen
    for secret in (stripe_server.KEY, stripe_server.KEY[:8], model_servers.KEY, stripe_server.CARD):
        assert secret not in seen


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
