"""What the API tells of the broker, also while it is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis

from taskyard.broker.names import Names
from taskyard_api import broker_answers
from taskyard_api.resources.broker import server_of
from taskyard_client import Client
from tests.integration.api.conftest import NAMESPACE, Api
from tests.support.fleet import wait_for


def told(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/api/v1/broker")
    assert answer.status_code == 200, answer.text
    broker_answers.Broker.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def messages(broker: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {queue["name"]: (queue["queued"], queue["unacknowledged"]) for queue in broker["queues"]}


def test_it_tells_what_the_queues_hold_and_how_full_redis_is(api: Api, redis_url: str) -> None:
    for queue in ("default", "default", "low_priority"):
        api.submit(queue=queue)
    wait_for(lambda: messages(told(api.http))["default"] == (2, 0), 10, "the messages", every=0.2)
    with redis.Redis.from_url(redis_url) as client:
        client.rpop(Names(NAMESPACE).queue("default"))  # as a worker fetches it
    found = told(api.http)
    assert (found["status"], found["reason"]) == ("up", None)
    assert (messages(found)["default"], messages(found)["low_priority"]) == ((1, 1), (1, 0))
    server = found["server"]
    assert server["version"]
    assert server["used_bytes"] > 0
    assert server["eviction_policy"] == "noeviction"
    assert server["clients"] >= 1
    assert 0 <= found["outbox"]["pending"] <= 3, "the API deletes what it has published a moment later"


def test_a_restricted_key_is_told_of_its_queues(api: Api) -> None:
    found = told(api.client(api.key("read", queues=["low_priority"])))
    assert (list(messages(found)), found["outbox"]) == (["low_priority"], None)
    assert api.client(api.key("submit", "manage")).get("/api/v1/broker").status_code == 403


def test_a_broker_that_is_away_is_told_and_not_a_503(start_api: Callable[..., Api]) -> None:
    api = start_api(redis_url="redis://127.0.0.1:1/0")
    api.submit()
    found = told(api.http)
    assert (found["status"], found["server"], found["queues"]) == ("away", None, [])
    assert found["reason"] == "does not answer"
    assert found["outbox"]["pending"] == 1
    in_german = api.http.get("/api/v1/broker", headers={"Accept-Language": "de"}).json()
    assert in_german["reason"] != found["reason"]


@pytest.mark.parametrize(
    ("info", "name", "limit"),
    [
        ({"redis_version": "7.4.1", "redis_mode": "standalone", "maxmemory": 0}, "redis", None),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.0", "server_mode": "cluster", "maxmemory": 5}, "valkey", 5),
    ],
)
def test_redis_and_valkey_tell_the_same(info: dict[str, Any], name: str, limit: int | None) -> None:
    found = server_of(info)
    broker_answers.BrokerServer.model_validate(found)
    assert (found["name"], found["max_bytes"]) == (name, limit)


def test_the_client_reads_it(api: Api) -> None:
    with Client(api.url, api.key("read")) as client:
        broker = client.broker()
        assert broker.status == "up"
        assert "default" in [queue.name for queue in broker.queues]
