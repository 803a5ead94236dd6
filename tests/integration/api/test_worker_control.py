"""Workers are asked over HTTP to drain, to replace their processes, or to keep another number of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import redis
import sqlalchemy as sa

from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names
from taskyard.lifecycle import workers
from taskyard.lifecycle.workers import Asked, Beat
from taskyard_api import worker_answers
from tests.integration.api.conftest import Api
from tests.support.fleet import wait_for
from tests.support.specs import register_worker, spec_named

CALLS = [("drain", None), ("restart", None), ("pool", {"processes": "2:8"})]


def worker_of(api: Api, *queues: str) -> UUID:
    return register_worker(api.engine, spec_named("own.report"), name="own", queues=queues or ["default"])


def asked(api: Api, worker: UUID) -> Asked | None:
    with api.engine.connect() as conn:
        return workers.asked(conn, worker)


def audited(api: Api, worker: UUID) -> list[dict[str, Any]]:
    return list(api.http.get("/api/v1/audit", params={"target": str(worker)}).json()["items"])


@pytest.mark.parametrize(("call", "body"), CALLS)
def test_a_worker_is_asked_and_hears_of_it_at_once(api: Api, redis_url: str, call: str, body: Any) -> None:
    worker = worker_of(api)
    client: redis.Redis = make_redis(redis_url)
    with client.pubsub(ignore_subscribe_messages=True) as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(Names(api.settings.namespace).control)
        heard.get_message(timeout=1.0)
        answer = api.http.post(f"/api/v1/workers/{worker}/{call}", json=body)

        def of_workers() -> Any:
            hint = heard.get_message(timeout=1.0)
            return hint and orjson.loads(hint["data"]).get("workers")

        hinted = wait_for(of_workers, 20, "a hint")
    client.close()
    assert hinted == [str(worker)]
    assert answer.status_code == 202, answer.text
    shown = worker_answers.WorkerShown.model_validate_json(answer.content)
    assert (shown.id, shown.state) == (worker, "draining" if call == "drain" else "running")
    assert [shown.drain_asked_at is not None, shown.restart_asked_at is not None, shown.processes_asked] == [
        call == "drain", call == "restart", "2:8" if call == "pool" else None,
    ]  # fmt: skip
    assert {**answer.json(), "tasks": []} == api.http.get(f"/api/v1/workers/{worker}").json()
    [row] = audited(api, worker)
    assert (row["action"], row["details"]["name"]) == (f"worker.{call}", "own")


def test_a_repeat_with_the_same_key_asks_once(api: Api) -> None:
    worker = worker_of(api)
    key = {"Idempotency-Key": "k-1"}
    first, again = (api.http.post(f"/api/v1/workers/{worker}/restart", headers=key) for _ in range(2))
    assert (first.status_code, again.status_code, first.content) == (202, 202, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(audited(api, worker)) == 1


@pytest.mark.parametrize(("call", "body"), CALLS)
def test_a_worker_that_is_unknown_is_404_and_one_that_was_lost_or_has_stopped_409(
    api: Api, call: str, body: Any
) -> None:
    for unknown in (str(uuid4()), "nope"):
        answer = api.http.post(f"/api/v1/workers/{unknown}/{call}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for how, state in (
        ("stopped_at = now(), state = 'stopped'", "stopped"),
        ("lost_at = now(), state = 'lost'", "lost"),
        ("beat_at = now() - interval '1 hour'", "lost"),
    ):
        worker = worker_of(api)
        with api.engine.connect() as conn:
            conn.execute(sa.text(f"UPDATE worker SET {how} WHERE id = :id"), {"id": worker})
        answer = api.http.post(f"/api/v1/workers/{worker}/{call}", json=body)
        assert (answer.status_code, answer.json()["state"]) == (409, state), answer.text
        assert not audited(api, worker)


def test_one_that_drains_is_asked_for_nothing_else(api: Api) -> None:
    worker = worker_of(api)
    drained = [api.http.post(f"/api/v1/workers/{worker}/drain") for _ in range(2)]
    assert [a.status_code for a in drained] == [202, 202]
    assert drained[0].json()["drain_asked_at"] == drained[1].json()["drain_asked_at"]
    for call, body in CALLS[1:]:
        answer = api.http.post(f"/api/v1/workers/{worker}/{call}", json=body)
        assert (answer.status_code, answer.json()["state"]) == (409, "draining")
    assert len(audited(api, worker)) == 1


def test_a_worker_that_drains_is_not_counted_where_tasks_wait_for_one(api: Api) -> None:
    worker = worker_of(api, "selection_only")
    with api.engine.connect() as conn:
        workers.ensure_queues(conn, ["selection_only"])
    counts = []
    for _ in range(2):
        counts.append(api.http.get("/api/v1/queues/selection_only").json()["workers"])
        api.http.post(f"/api/v1/workers/{worker}/drain")
    assert counts == [1, 0]


def test_only_a_key_that_manages_all_of_its_queues_may_ask(api: Api) -> None:
    worker = worker_of(api, "default", "low_priority")
    for call, body in CALLS:
        path = f"/api/v1/workers/{worker}/{call}"
        some = api.client(api.key("read", "manage", queues=["default"])).post(path, json=body)
        assert (some.status_code, some.json()["code"]) == (403, "queue_not_allowed")
        none = api.client(api.key("read", "manage", queues=["selection"])).post(path, json=body)
        assert (none.status_code, none.json()["code"]) == (404, "not_found")
        reads = api.client(api.key("read", "submit")).post(path, json=body)
        assert (reads.status_code, reads.json()["code"]) == (403, "missing_scope")
    assert asked(api, worker) == Asked()
    told = api.client(api.key("manage", queues=["default", "low_priority"])).post(
        f"/api/v1/workers/{worker}/pool", json={"processes": 3}
    )
    assert told.status_code == 202
    assert worker_answers.ToldWorker.model_validate_json(told.content).processes_asked == "3"


@pytest.mark.parametrize("processes", [0, 65, -1, 2.5, True, None, "", "2:", ":2", "8:2", "0:2", "two", [2], {"a": 1}])
def test_a_number_of_processes_that_no_worker_may_have_is_422(api: Api, processes: Any) -> None:
    worker = worker_of(api)
    answer = api.http.post(f"/api/v1/workers/{worker}/pool", json={"processes": processes})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, ["/processes"])
    assert answer.json()["errors"][0]["message"] == "Must be a number from 1 to 64, or MIN:MAX such as 2:8."
    assert asked(api, worker) == Asked()


def test_what_was_asked_is_shown_until_it_is_done(api: Api) -> None:
    worker = worker_of(api)
    api.http.post(f"/api/v1/workers/{worker}/pool", json={"processes": "3:5"})
    with api.engine.connect() as conn:
        assert workers.beat(conn, Beat(worker_id=worker, processes=5, processes_set="3:5")) == Asked()
    shown = api.http.get(f"/api/v1/workers/{worker}").json()
    assert (shown["processes"], shown["processes_asked"]) == (5, None)
