"""Queues over HTTP: pause, resume, limits, purge; and who may."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
import redis
import sqlalchemy as sa

from taskyard.broker.names import Names
from taskyard.lifecycle import cancel_many
from taskyard.lifecycle.cancel import hold_families
from taskyard.store import ledger
from taskyard.store.audit import Actor
from taskyard_api import queue_answers
from taskyard_api.resources import queue_actions
from taskyard_client import AsyncClient, Client
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker
from tests.support.fleet import wait_for

LOW = "/api/v1/queues/low_priority"


@pytest.fixture(autouse=True)
def queues_are_made(api: Api) -> None:
    """The API makes the rows of its queues once it has started."""
    wait_for(lambda: api.http.get(LOW).status_code == 200, 10, "the queue")


def post(client: httpx.Client, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def audited(api: Api, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get("/api/v1/audit", params={"action": action}).json()["items"]
    return found


def states(api: Api, ids: list[str]) -> list[str]:
    return [api.http.get(f"/api/v1/tasks/{i}").json()["state"] for i in ids]


def test_a_paused_queue_says_since_when_and_by_whom_and_takes_submits(api: Api) -> None:
    ops = api.client(api.key("manage", "read", name="ops"))
    paused = post(ops, f"{LOW}/pause")
    assert (paused["paused"], paused["paused_by"]) == (True, "ops")
    again = post(api.http, f"{LOW}/pause")
    assert (again["paused_at"], again["paused_by"]) == (paused["paused_at"], "ops"), "the first pause stands"
    assert api.submit(queue="low_priority")["state"] == "queued"
    resumed = post(ops, f"{LOW}/resume")
    assert (resumed["paused"], resumed["paused_at"], resumed["paused_by"]) == (False, None, None)
    post(ops, f"{LOW}/resume")
    assert [(r["actor"], r["target"]["id"]) for r in audited(api, "queue.pause")] == [("ops", "low_priority")]
    (told,) = audited(api, "queue.resume")
    assert told["details"] == {"paused_at": paused["paused_at"]}


@pytest.mark.parametrize(
    ("path", "hint"), [("pause", "recall"), ("purge", "recall"), ("resume", "resume"), ("", "recall")]
)
def test_what_holds_of_a_queue_is_told_to_the_workers(
    api: Api, shared_redis: redis.Redis, path: str, hint: str
) -> None:
    with shared_redis.pubsub(ignore_subscribe_messages=True) as hints:  # type: ignore[no-untyped-call]
        hints.subscribe(Names(api.settings.namespace).control)
        if path:
            post(api.http, f"{LOW}/{path}")
        else:
            assert api.http.patch(LOW, json={"concurrent": 4}).status_code == 200
        found = None
        for _ in range(50):
            if found := hints.get_message(timeout=0.2):
                break
        assert found is not None
        assert orjson.loads(found["data"]) == {hint: ["low_priority"]}


def test_limits_are_set_and_removed_one_by_one(api: Api) -> None:
    def patched(**body: Any) -> tuple[Any, Any]:
        answer = api.http.patch(LOW, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["concurrent"], answer.json()["per_second"]

    assert patched(concurrent=4) == (4, None)
    assert patched(per_second=0.5) == (4, 0.5)
    assert patched(concurrent=None) == (None, 0.5)
    assert patched(concurrent=None) == (None, 0.5)
    assert patched(per_second=None) == (None, None)
    changes = [(r["details"]["before"], r["details"]["after"]) for r in audited(api, "queue.limit")]
    assert len(changes) == 4, "what changes nothing leaves no row"
    assert changes[0] == ({"concurrent": None, "per_second": 0.5}, {"concurrent": None, "per_second": None})


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"concurrent": 0}, {"concurrent": 1.5}, {"concurrent": "4"}, {"concurrent": 100_001}),
        *({"per_second": 0}, {"per_second": -1}, {"per_second": 100_001}, {"paused": True}),
    ],
)
def test_limits_out_of_bounds_are_refused(api: Api, body: dict[str, Any]) -> None:
    answer = api.http.patch(LOW, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_purge_cancels_what_waits_and_not_what_runs(api: Api) -> None:
    worker = Worker(api.engine)
    running = api.submit(queue="low_priority")["id"]
    worker.begin(running)
    waiting = [api.submit(queue="low_priority")["id"], api.submit(queue="low_priority", delay_seconds=600)["id"]]
    other = api.submit()["id"]
    looked = post(api.http, f"{LOW}/purge", dry_run=True)
    assert (looked["matched"], looked["changed"], looked["left"]) == (2, 0, 2)
    assert [task["id"] for task in looked["sample"]] == waiting
    assert states(api, waiting) == ["queued", "scheduled"]
    purged = post(api.http, f"{LOW}/purge")
    assert (purged["matched"], purged["changed"], purged["left"], purged["sample"]) == (2, 2, 0, [])
    assert states(api, [*waiting, running, other]) == ["cancelled", "cancelled", "running", "queued"]
    (told,) = audited(api, "queue.purge")
    assert (told["target"]["id"], told["details"]) == ("low_priority", {"changed": 2, "ids": waiting})
    assert post(api.http, f"{LOW}/purge")["matched"] == 0
    assert len(audited(api, "queue.purge")) == 1


def test_a_purge_needs_no_body(api: Api) -> None:
    api.submit()
    answer = api.http.post("/api/v1/queues/default/purge")
    assert (answer.status_code, answer.json()["changed"]) == (200, 1)
    text = api.http.post("/api/v1/queues/default/purge", content=b"{}", headers={"Content-Type": "text/plain"})
    assert text.status_code == 415


def test_a_purge_goes_in_batches_and_says_what_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [api.submit(queue="low_priority")["id"] for _ in range(7)]
    monkeypatch.setattr(queue_actions, "MOST_PURGED", 4)
    purge = cancel_many.purge
    monkeypatch.setattr(
        queue_actions, "purge", lambda conn, queue, by, until: purge(conn, queue, by=by, until=until, limit=2)
    )
    first = post(api.http, f"{LOW}/purge")
    assert (first["matched"], first["changed"], first["left"]) == (7, 4, 3)
    assert states(api, ids) == ["cancelled"] * 4 + ["queued"] * 3, "the oldest first"
    assert post(api.http, f"{LOW}/purge")["left"] == 0


def test_what_is_claimed_during_a_purge_is_not_asked_to_stop(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the choice and the lock."""
    task_id = api.submit(queue="low_priority")["id"]
    hold = hold_families

    def claimed_meanwhile(conn: sa.Connection, ids: Any) -> None:
        Worker(api.engine).begin(task_id)
        hold(conn, ids)

    monkeypatch.setattr(cancel_many, "hold_families", claimed_meanwhile)
    with api.engine.begin() as conn:
        assert cancel_many.purge(conn, "low_priority", by=Actor("ci")).answer == []
    row = ledger.run(api.engine, lambda c: c.execute(sa.text("SELECT state, cancel_requested_at FROM task")).one())
    assert tuple(row) == ("running", None)


def test_a_purge_with_a_key_is_done_once(api: Api) -> None:
    api.submit(queue="low_priority")
    first = api.http.post(f"{LOW}/purge", json={}, headers={"Idempotency-Key": "p1"})
    api.submit(queue="low_priority")
    again = api.http.post(f"{LOW}/purge", json={}, headers={"Idempotency-Key": "p1"})
    assert (first.json(), first.json()["changed"]) == (again.json(), 1)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("verb", ["pause", "resume", "purge"])
def test_a_key_changes_its_own_queues_only(api: Api, verb: str) -> None:
    mine = api.client(api.key("manage", queues=["low_priority"]))
    assert post(mine, f"{LOW}/{verb}")
    for queue in ("default", "none_such"):
        answer = mine.post(f"/api/v1/queues/{queue}/{verb}", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert mine.patch("/api/v1/queues/default", json={"concurrent": 1}).status_code == 404


def test_a_key_that_may_not_read_is_told_what_it_set_and_no_depths(api: Api) -> None:
    told = post(api.client(api.key("manage")), f"{LOW}/pause")
    assert sorted(told) == ["concurrent", "name", "paused", "paused_at", "per_second"]


def test_the_client_has_the_calls_of_queues_and_of_tasks_that_wait(api: Api) -> None:
    ids = [api.submit(tags=["t"])["id"] for _ in range(2)]
    with Client(api.url, api.key("admin")) as client:
        assert client.queues.pause("low_priority").paused
        assert client.queues.limit("low_priority", concurrent=2, per_second=None).concurrent == 2
        assert [q.concurrent for q in client.queues.items() if q.name == "low_priority"] == [2]
        assert not client.queues.resume("low_priority").paused
        assert client.change(ids[0], queue="low_priority", tags=["u"]).tags == ["u"]
        assert client.queues.purge("low_priority", dry_run=True).sample[0].id == UUID(ids[0])
        assert client.queues.purge("low_priority").changed == 1
        assert client.cancel_many(tag="t", state="queued", dry_run=True).matched == 1
        assert client.cancel_many([ids[1]]).changed == 1
        with pytest.raises(ValueError, match="ids, or the conditions"):
            client.cancel_many()
        with pytest.raises(ValueError, match="ids, or the conditions"):
            client.cancel_many(ids, tag="t")


def test_the_client_for_asyncio_has_them_too(api: Api) -> None:
    task_id = api.submit(queue="low_priority")["id"]

    async def use() -> None:
        async with AsyncClient(api.url, api.key("admin")) as client:
            assert (await client.queues.pause("low_priority")).paused_by is not None
            assert not (await client.queues.resume("low_priority")).paused
            assert (await client.queues.limit("low_priority", per_second=5)).per_second == 5
            assert (await client.queues.get("low_priority")).per_second == 5
            assert len(await client.queues.items()) > 1
            assert (await client.change(task_id, tags=["t"])).tags == ["t"]
            assert (await client.cancel_many(tag="t")).changed == 1
            assert (await client.queues.purge("low_priority")).left == 0

    asyncio.run(use())


def test_what_waits_is_told_by_type_with_what_a_limit_holds(api: Api) -> None:
    first = api.submit(queue="low_priority")
    for _ in range(2):
        api.submit(queue="low_priority", limits={"key": "customer", "concurrent": 1})
    api.submit(
        queue="low_priority", name="email.send", params={"to_email": "a@example.org", "subject": "s", "text": "t"}
    )
    api.submit(queue="low_priority", delay_seconds=60)
    told = api.http.get(f"{LOW}/waiting").json()
    queue_answers.WaitingTypes.model_validate(told)
    assert [(one["name"], one["tasks"], one["held"]) for one in told["items"]] == [
        ("diagnostics.echo", 3, 2),
        ("email.send", 1, 0),
    ]
    assert (told["counted"], told["held"], told["has_more"]) == (4, 2, False)
    assert told["items"][0]["oldest_at"] == first["created_at"]
    mine = api.client(api.key("read", queues=["low_priority"]))
    assert mine.get(f"{LOW}/waiting").status_code == 200
    assert mine.get("/api/v1/queues/default/waiting").status_code == 404
    assert api.client(api.key("manage")).get(f"{LOW}/waiting").status_code == 403
    assert api.http.get("/api/v1/queues/nope/waiting").status_code == 404
