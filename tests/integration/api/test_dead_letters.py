"""Dead letters over HTTP: list, retry, discard; by ids or by filter."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
import sqlalchemy as sa

from taskyard.broker.names import Names
from taskyard.domain.tasks import Failed, Fault
from tests.integration.api.conftest import NAMESPACE, Api
from tests.integration.api.worker import Worker

VERBS = ("retry", "discard")


def fault(code: str) -> Failed:
    return Failed(Fault(code, "It went wrong.", "ValueError", retryable=True))


def dead(api: Api, count: int = 1, *, code: str = "boom", **more: Any) -> list[str]:
    worker = Worker(api.engine)
    ids = [api.submit(**more)["id"] for _ in range(count)]
    for task_id in ids:
        worker.begin(task_id)
        worker.end(task_id, fault(code))
    return ids


def listed(api: Api, **query: Any) -> list[str]:
    answer = api.http.get("/api/v1/dead-letters", params=query)
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.json()["items"]]


def post(client: httpx.Client, verb: str, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/v1/dead-letters/{verb}", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def task(api: Api, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.http.get(f"/api/v1/tasks/{task_id}").json()
    return found


def test_the_list_has_failed_tasks_and_filters_by_name_queue_code_and_time(api: Api) -> None:
    api.submit()
    (plain,) = dead(api)
    (coded,) = dead(api, code="other", queue="low_priority")
    made = task(api, coded)["created_at"]
    assert listed(api) == [coded, plain]
    assert listed(api, name="diagnostics.echo") == [coded, plain]
    assert listed(api, name="email.send") == []
    assert listed(api, queue="low_priority") == [coded]
    assert listed(api, code="boom") == [plain]
    assert listed(api, code="boom", queue="low_priority") == []
    assert listed(api, created_after=made) == [coded]
    assert listed(api, created_before=made) == [plain]
    (shown,) = api.http.get("/api/v1/dead-letters", params={"code": "boom"}).json()["items"]
    assert shown == task(api, plain)


def test_the_list_is_paged_by_cursor(api: Api) -> None:
    ids = dead(api, 5)
    first = api.http.get("/api/v1/dead-letters", params={"limit": 2}).json()
    dead(api)  # a new dead letter does not shift the pages
    second = api.http.get("/api/v1/dead-letters", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [t["id"] for t in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_some_are_retried_by_their_ids(api: Api, shared_redis: redis.Redis) -> None:
    ids = dead(api, 4)
    assert post(api.http, "retry", ids=ids[:3]) == {"matched": 3, "changed": 3, "changed_ids": ids[:3]}
    assert listed(api) == ids[3:]
    shown = [task(api, task_id) for task_id in ids[:3]]
    assert {(t["state"], t["error"], t["finished_at"], t["attempt"]) for t in shown} == {("scheduled", None, None, 1)}
    due = [datetime.fromisoformat(t["run_at"]) for t in shown]
    assert [round((b - a).total_seconds(), 6) for a, b in pairwise(due)] == [0.02, 0.02]
    told = api.http.get(f"/api/v1/tasks/{ids[0]}/events").json()["items"][-1]
    assert (told["kind"], told["data"]["by"]) == ("retried", task(api, ids[0])["submitted_by"])
    # The scheduler is woken, so the tasks do not wait for its next poll.
    answer: Any = shared_redis.blpop([Names(NAMESPACE).wake_scheduler], timeout=5)
    assert answer is not None


def test_cancelled_tasks_run_again_by_their_ids_but_no_steps_of_workflows(api: Api) -> None:
    (failed,), ids = dead(api), [api.submit()["id"] for _ in range(3)]
    api.http.post("/api/v1/tasks/cancel", json={"ids": ids})
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE task SET workflow_id = gen_random_uuid() WHERE id = :id"), {"id": ids[2]})
    every: dict[str, Any] = {"ids": [failed, *ids], "cancelled": True}
    assert (looked := post(api.http, "retry", **every, dry_run=True))["matched"] == 2
    assert [one["id"] for one in looked["sample"]] == ids[:2]
    assert post(api.http, "retry", **every) == {"matched": 2, "changed": 2, "changed_ids": ids[:2]}
    assert [task(api, i)["state"] for i in every["ids"]] == ["failed", "scheduled", "scheduled", "cancelled"]
    assert api.http.get("/api/v1/audit").json()["items"][0]["action"] == "tasks.retry"
    hidden = api.submit()["id"]
    api.http.post("/api/v1/tasks/cancel", json={"ids": [hidden]})
    client = api.client(api.key("read", "manage", queues=["low_priority"]))
    assert post(client, "retry", ids=[hidden], cancelled=True)["matched"] == 0
    by_filter = api.http.post("/api/v1/dead-letters/retry", json={"filter": {}, "cancelled": True})
    assert (by_filter.status_code, [e["pointer"] for e in by_filter.json()["errors"]]) == (422, [""])


def test_the_rate_is_a_setting(start_api: Callable[..., Api]) -> None:
    api = start_api(replay_per_second=4)
    ids = dead(api, 2)
    post(api.http, "retry", ids=ids)
    first, second = (datetime.fromisoformat(task(api, task_id)["run_at"]) for task_id in ids)
    assert (second - first).total_seconds() == 0.25


def test_a_discarded_task_is_no_dead_letter_and_can_be_retried_by_its_own_address(api: Api) -> None:
    ids = dead(api, 2)
    assert post(api.http, "discard", ids=ids[:1]) == {"matched": 1, "changed": 1, "changed_ids": ids[:1]}
    assert listed(api) == ids[1:]
    shown = task(api, ids[0])
    assert (shown["state"], shown["error"]["code"]) == ("failed", "boom")
    assert shown["discarded_at"] is not None
    told = api.http.get(f"/api/v1/tasks/{ids[0]}/events").json()["items"][-1]
    assert (told["kind"], told["data"]) == ("discarded", {"by": shown["submitted_by"]})
    for verb in VERBS:
        assert post(api.http, verb, ids=ids[:1]) == {"matched": 0, "changed": 0, "changed_ids": []}
    again = api.http.post(f"/api/v1/tasks/{ids[0]}/retry")
    assert (again.status_code, again.json()["state"], again.json()["discarded_at"]) == (202, "queued", None)


@pytest.mark.parametrize("verb", VERBS)
def test_a_filter_applies_to_all_matches(api: Api, verb: str) -> None:
    boom, other = dead(api, 2), dead(api, code="other")
    assert post(api.http, verb, filter={"code": "nothing"}) == {"matched": 0, "changed": 0}
    assert post(api.http, verb, filter={"code": "boom", "queue": "default"}) == {"matched": 2, "changed": 2}
    assert listed(api) == other
    assert post(api.http, verb, filter={}) == {"matched": 1, "changed": 1}
    assert listed(api) == []
    assert {task(api, i)["state"] for i in boom + other} == {"scheduled" if verb == "retry" else "failed"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_counts_and_shows_and_changes_nothing(api: Api, verb: str) -> None:
    ids = dead(api, 12)
    for which in ({"filter": {"code": "boom"}}, {"ids": [*ids, str(uuid4())]}):
        told = post(api.http, verb, **which, dry_run=True)
        assert (told["matched"], told["changed"]) == (12, 0)
        assert told["sample"] == [task(api, task_id) for task_id in ids[:10]]
    assert listed(api) == ids[::-1]
    assert api.http.get("/api/v1/audit").json()["items"] == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_filter_takes_a_thousand_at_a_time_the_oldest_first(api: Api, verb: str) -> None:
    (model,) = dead(api)
    copy = """
    INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, state, run_at,
        finished_at, error)
    SELECT gen_random_uuid(), name, queue, params, 4, 1, 1, state, run_at, finished_at, error
    FROM task, generate_series(1, 1004) WHERE id = :id"""
    with api.engine.connect() as conn:
        conn.execute(sa.text(copy), {"id": model})
        order = [str(i) for i in conn.execute(sa.text("SELECT id FROM task ORDER BY id")).scalars()]
    assert post(api.http, verb, filter={}) == {"matched": 1005, "changed": 1000}
    assert sorted(listed(api)) == order[1000:]
    (row,) = api.http.get("/api/v1/audit").json()["items"]
    assert row["details"] == {"filter": {}, "matched": 1005, "changed": 1000, "ids": order[:1000]}


@pytest.mark.parametrize("verb", VERBS)
def test_the_audit_log_records_action_and_tasks(api: Api, verb: str) -> None:
    ids = dead(api, 2)
    post(api.http, verb, ids=[*ids, str(uuid4())])
    post(api.http, verb, ids=ids)  # changes nothing
    (row,) = api.http.get("/api/v1/audit").json()["items"]
    assert (row["action"], row["target"]) == (f"dead_letters.{verb}", {"type": "dead_letters", "id": None})
    assert row["details"] == {"ids": ids, "matched": 2, "changed": 2}
    assert row["address"] == "127.0.0.1"


@pytest.mark.parametrize("verb", VERBS)
def test_a_key_of_some_queues_sees_and_changes_only_those(api: Api, verb: str) -> None:
    (hidden,), (own,) = dead(api), dead(api, queue="low_priority")
    client = api.client(api.key("read", "manage", queues=["low_priority"]))
    seen = client.get("/api/v1/dead-letters").json()["items"]
    assert [t["id"] for t in seen] == [own]
    assert client.get("/api/v1/dead-letters", params={"queue": "default"}).json()["items"] == []
    assert post(client, verb, filter={"queue": "default"}) == {"matched": 0, "changed": 0}
    assert post(client, verb, ids=[hidden, own], dry_run=True)["matched"] == 1
    assert post(client, verb, ids=[hidden, own]) == {"matched": 1, "changed": 1, "changed_ids": [own]}
    assert post(client, verb, filter={}) == {"matched": 0, "changed": 0}
    assert listed(api) == [hidden]


@pytest.mark.parametrize("verb", VERBS)
def test_each_call_needs_its_scope(api: Api, verb: str) -> None:
    (task_id,) = dead(api)
    for scope in ("read", "submit"):
        answer = api.client(api.key(scope)).post(f"/api/v1/dead-letters/{verb}", json={"ids": [task_id]})
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert api.client(api.key("manage")).get("/api/v1/dead-letters").status_code == 403
    assert listed(api) == [task_id]


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_request_again_is_answered_again_and_does_nothing_more(api: Api, verb: str) -> None:
    ids = dead(api, 2)
    key = {"Idempotency-Key": "k"}
    first = api.http.post(f"/api/v1/dead-letters/{verb}", json={"filter": {}}, headers=key)
    dead(api)
    second = api.http.post(f"/api/v1/dead-letters/{verb}", json={"filter": {}}, headers=key)
    assert (first.json(), second.content) == ({"matched": 2, "changed": 2}, first.content)
    assert second.headers["Idempotency-Replayed"] == "true"
    other = api.http.post(f"/api/v1/dead-letters/{verb}", json={"ids": ids}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(listed(api)) == 1


def test_the_same_request_many_times_at_once_is_done_once(api: Api) -> None:
    dead(api, 5)

    def send(_: int) -> httpx.Response:
        return api.http.post(
            "/api/v1/dead-letters/discard", json={"filter": {}}, headers={"Idempotency-Key": "together"}
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {a.status_code for a in answers} == {202}
    assert {a.content for a in answers} == {b'{"matched":5,"changed":5}'}
    assert sum("Idempotency-Replayed" not in a.headers for a in answers) == 1


ID = "00000000-0000-7000-8000-000000000001"


WRONG: list[tuple[Any, list[str]]] = [
    ({}, [""]),
    ({"dry_run": True}, [""]),
    ({"ids": [ID], "filter": {}}, [""]),
    ({"ids": []}, ["/ids"]),
    ({"ids": None}, ["/ids"]),
    ({"ids": ID}, ["/ids"]),
    ({"ids": [ID, "x"]}, ["/ids/1"]),
    ({"ids": [ID.replace("-", "")]}, ["/ids/0"]),
    ({"ids": ["{" + ID[:-2] + "}"]}, ["/ids/0"]),
    ({"ids": [7]}, ["/ids/0"]),
    ({"ids": [ID] * 1001}, ["/ids"]),
    ({"filter": None}, ["/filter"]),
    ({"filter": []}, ["/filter"]),
    ({"filter": {"name": 7, "queue": ["default"]}}, ["/filter/name", "/filter/queue"]),
    ({"filter": {"code": ""}}, ["/filter/code"]),
    ({"filter": {"created_after": "yesterday"}}, ["/filter/created_after"]),
    ({"filter": {"created_before": 1}}, ["/filter/created_before"]),
    ({"filter": {"state": "failed"}}, ["/filter/state"]),
    ({"filter": {"code": "\x00"}}, ["/filter/code"]),
    ({"filter": {}, "dry_run": "yes"}, ["/dry_run"]),
    ({"filter": {}, "dry_run": 1}, ["/dry_run"]),
    ({"filter": {}, "limit": 5}, ["/limit"]),
    ([ID], [""]),
]


@pytest.mark.parametrize("verb", VERBS)
def test_errors_in_a_body_are_named_and_nothing_changes(api: Api, verb: str) -> None:
    ids = dead(api)
    for body, pointers in WRONG:
        answer = api.http.post(f"/api/v1/dead-letters/{verb}", json=body)
        assert answer.status_code == 422, (body, answer.text)
        assert [e["pointer"] for e in answer.json()["errors"]] == pointers, body
        assert listed(api) == ids, body


@pytest.mark.parametrize("query", ["state=failed", "code=", "limit=201", "created_after=x", "cursor=x", "queue=%00"])
def test_errors_in_the_query_are_refused(api: Api, query: str) -> None:
    answer = api.http.get(f"/api/v1/dead-letters?{query}")
    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == [f"?{query.partition('=')[0]}"]


def test_discarding_is_taken_back(api: Api) -> None:
    first, second = dead(api, 2)
    post(api.http, "discard", ids=[first, second])
    assert listed(api) == []
    assert listed(api, discarded=True) == [second, first]
    assert listed(api, discarded=True, discarded_after="2100-01-01T00:00:00Z") == []
    dry = post(api.http, "restore", filter={"code": "boom", "discarded_after": "2020-01-01T00:00:00Z"}, dry_run=True)
    assert (dry["matched"], [t["id"] for t in dry["sample"]]) == (2, [first, second])
    assert post(api.http, "restore", ids=[first])["changed"] == 1
    assert (listed(api), listed(api, discarded=True)) == ([first], [second])
    refused = api.http.get("/api/v1/dead-letters?discarded_after=2020-01-01T00:00:00Z")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "?")


def test_dead_letters_are_counted_by_type_and_code(api: Api) -> None:
    dead(api, 3, code="boom")
    dead(api, 2, code="other", queue="low_priority")
    (gone,) = dead(api)
    post(api.http, "discard", ids=[gone])
    told = api.http.get("/api/v1/dead-letters/groups").json()
    groups = [(group["name"], group["code"], group["count"]) for group in told["items"]]
    assert groups == [("diagnostics.echo", "boom", 3), ("diagnostics.echo", "other", 2)]
    assert (told["grouped"], told["has_more"]) == (5, False)
    of_code = api.http.get("/api/v1/dead-letters/groups", params={"code": "other"}).json()
    assert [group["count"] for group in of_code["items"]] == [2]
    seen = api.client(api.key("read", queues=["low_priority"])).get("/api/v1/dead-letters/groups").json()
    assert seen["grouped"] == 2
    assert api.client(api.key("manage")).get("/api/v1/dead-letters/groups").status_code == 403
