"""Reads: a task, its status, stable lists, queues, workers."""

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
import sqlalchemy as sa

from taskyard.broker.publisher import encode_changes
from taskyard.domain.tasks import Change, State
from taskyard_api import answers, ledger_pool, queue_answers, type_answers, worker_answers
from tests.integration.api.conftest import NAMESPACE, Api
from tests.integration.api.worker import Worker
from tests.support.fleet import wait_for


def listed(api: Api, query: str = "") -> list[str]:
    answer = api.http.get(f"/api/v1/tasks{query}")
    assert answer.status_code == 200, answer.text
    answers.TaskPage.model_validate_json(answer.content)
    return [task["id"] for task in answer.json()["items"]]


ODD_NUMBERS = ("18446744073709551616", "1e300", "-1e300", "Infinity", "-Infinity", "NaN", "5e-324", "0")


def test_progress_of_an_older_worker_is_shown_as_far_as_json_can(api: Api) -> None:
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)
    worker.progress(task, 1, 2, "here")
    for current, total in itertools.product(ODD_NUMBERS, ODD_NUMBERS):
        with api.engine.begin() as conn:
            conn.execute(sa.text(f"UPDATE task_progress SET current = '{current}', total = '{total}'"))
        shown = api.http.get(f"/api/v1/tasks/{task}")
        assert shown.status_code == 200, shown.text
        assert shown.json()["progress"]["message"] == "here"
        percent = shown.json()["progress"]["percent"]
        assert percent is None or 0 <= percent <= 100
        assert api.http.get(f"/api/v1/tasks/{task}/status").json()["status"] == "here"
        assert task in [item["id"] for item in api.http.get("/api/v1/tasks").json()["items"]]


def test_a_list_is_newest_first_and_stable_under_inserts(api: Api) -> None:
    ids = [api.submit()["id"] for _ in range(5)]
    first = api.http.get("/api/v1/tasks?limit=2").json()
    api.submit()
    second = api.http.get(f"/api/v1/tasks?limit=2&cursor={first['next_cursor']}").json()
    third = api.http.get(f"/api/v1/tasks?limit=2&cursor={second['next_cursor']}").json()
    found = [t["id"] for page in (first, second, third) for t in page["items"]]
    assert found == ids[::-1]
    assert third["next_cursor"] is None


def test_filters_narrow_a_list_together(api: Api) -> None:
    worker = Worker(api.engine)
    queued = api.submit(tags=["red"])["id"]
    low = api.submit(queue="low_priority", tags=["red", "blue"])["id"]
    later = api.submit(delay_seconds=60)["id"]
    running, failed, done = (api.submit()["id"] for _ in range(3))
    for task in (running, failed, done):
        worker.begin(task)
    worker.fail(failed)
    worker.end(done)
    sleep = api.submit("diagnostics.sleep", params={"seconds": 0})["id"]
    cancelled = api.submit()["id"]
    api.http.post(f"/api/v1/tasks/{cancelled}/cancel")
    for query, expected in {
        "?state=queued": [sleep, low, queued],
        "?state=queued&queue=default": [sleep, queued],
        "?state=queued&name=diagnostics.echo": [low, queued],
        "?state=scheduled": [later],
        "?state=running": [running],
        "?state=running,scheduled": [running, later],
        "?state=failed": [failed],
        "?state=failed,cancelled": [cancelled, failed],
        "?state=succeeded": [done],
        "?state=succeeded,running": [done, running],
        "?tag=red": [low, queued],
        "?tag=red&queue=default": [queued],
        "?name=diagnostics.sleep": [sleep],
        "?name=no.such": [],
        "?queue=low_priority": [low],
        "?state=blocked": [],
    }.items():
        assert listed(api, query) == expected, query


def test_times_bound_a_list(api: Api) -> None:
    tasks = [api.submit() for _ in range(3)]
    middle = tasks[1]["created_at"]
    assert listed(api, f"?created_after={middle}") == [tasks[2]["id"], tasks[1]["id"]]
    assert listed(api, f"?created_before={middle}") == [tasks[0]["id"]]
    hour = timedelta(hours=1)
    later = (datetime.fromisoformat(middle) + hour).isoformat().replace("+00:00", "Z")
    assert listed(api, f"?created_after={later}") == []


def test_a_task_through_its_life(api: Api) -> None:
    worker = Worker(api.engine)
    task = api.submit()["id"]

    def read() -> dict[str, Any]:
        answer = api.http.get(f"/api/v1/tasks/{task}")
        answers.Task.model_validate_json(answer.content)
        found: dict[str, Any] = answer.json()
        return found

    def status() -> dict[str, Any]:
        answer = api.http.get(f"/api/v1/tasks/{task}/status")
        answers.TaskStatus.model_validate_json(answer.content)
        found: dict[str, Any] = answer.json()
        return found

    assert (status()["state"], status()["ready"]) == ("PENDING", False)
    worker.begin(task)
    assert status()["state"] == "STARTED"
    worker.progress(task, 40, 100, "Creating georeferenced file")
    expected = {"percent": 40, "current": 40, "total": 100, "message": "Creating georeferenced file"}
    assert read()["progress"] == expected
    assert read()["worker"] == "w:0"
    assert (status()["state"], status()["status"], status()["progress"]) == (
        "PROGRESS",
        "Creating georeferenced file",
        40,
    )
    worker.fail(task)
    assert read()["error"] == {
        "code": "boom",
        "message": "It went wrong.",
        "type": "ValueError",
        "retryable": True,
        "attempt": 1,
        "support_url": "https://support.example.org",
    }
    assert (status()["state"], status()["error"], status()["ready"]) == ("FAILURE", "It went wrong.", True)
    again = api.http.post(f"/api/v1/tasks/{task}/retry")
    assert (again.status_code, again.json()["state"], again.json()["error"]) == (202, "queued", None)
    worker.begin(task)
    worker.end(task)
    assert (read()["state"], read()["result"], read()["attempt"]) == ("succeeded", {"value": 1}, 2)
    assert status()["successful"] is True
    refused = api.http.post(f"/api/v1/tasks/{task}/retry")
    assert (refused.status_code, refused.json()["state"]) == (409, "succeeded")


def test_cancelling_waiting_running_and_final_tasks(api: Api) -> None:
    worker = Worker(api.engine)
    waiting, running = api.submit()["id"], api.submit()["id"]
    worker.begin(running)
    answer = api.http.post(f"/api/v1/tasks/{waiting}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLED")
    answer = api.http.post(f"/api/v1/tasks/{running}/cancel", json={})
    assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLING")
    assert api.http.get(f"/api/v1/tasks/{running}").json()["cancel_requested_at"]
    answer = api.http.post(f"/api/v1/tasks/{waiting}/cancel")
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (
        409,
        "state_conflict",
        "cancelled",
    )
    assert api.http.post(f"/api/v1/tasks/{running}/cancel", json={"force": True}).status_code == 422


@pytest.mark.parametrize("redis_is_there", [True, False])
def test_waiting_ends_with_the_task(start_api: Any, redis_is_there: bool) -> None:
    api = start_api(**({} if redis_is_there else {"redis_url": "redis://127.0.0.1:1/0"}))
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)

    def finish() -> None:
        time.sleep(0.7)
        worker.end(task)
        if redis_is_there:
            import redis as client

            url = api.settings.redis_url.get_secret_value()
            with client.Redis.from_url(url) as connection:
                message = f'[{{"task_id":"{task}","name":"n","queue":"default","state":"succeeded","attempt":1}}]'
                connection.publish(f"{NAMESPACE}:events", message)

    thread = threading.Thread(target=finish)
    started = time.monotonic()
    thread.start()
    answer = api.http.get(f"/api/v1/tasks/{task}?wait=20")
    thread.join()
    assert answer.json()["state"] == "succeeded"
    assert 0.6 < time.monotonic() - started < 15
    started = time.monotonic()
    assert api.http.get(f"/api/v1/tasks/{api.submit()['id']}?wait=0.5").json()["state"] == "queued"
    assert 0.4 < time.monotonic() - started < 10


def test_no_waiting_request_is_refused_when_all_waits_end_at_once(
    start_api: Any, shared_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New calls are refused while too many wait for a thread."""
    monkeypatch.setattr(ledger_pool, "_WAITING_PER_THREAD", 8)
    api = start_api(db_pool_size=1)
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)

    def wait(_: int) -> httpx.Response:
        with httpx.Client(base_url=api.url, headers=dict(api.http.headers), timeout=60) as client:
            return client.get(f"/api/v1/tasks/{task}?wait=50")

    with ThreadPoolExecutor(24) as pool:
        waiting = []
        for n in range(24):
            waiting.append(pool.submit(wait, n))
            wait_for(lambda n=n: api.service.live._count == n + 1, 20, "the next one to wait")  # type: ignore[misc]
        worker.end(task)
        change = Change(UUID(task), "diagnostics.echo", "default", State.SUCCEEDED, 1)
        shared_redis.publish(f"{NAMESPACE}:events", encode_changes([change]))
        answers = [one.result() for one in waiting]
    assert [(a.status_code, a.json().get("state")) for a in answers] == [(200, "succeeded")] * 24


def test_task_types_queues_and_workers(api: Api) -> None:
    types = api.http.get("/api/v1/task-types")
    type_answers.TaskTypePage.model_validate_json(types.content)
    echo = api.http.get("/api/v1/task-types/diagnostics.echo").json()
    assert echo["params"]["required"] == ["value"]
    assert echo in types.json()["items"]
    worker = Worker(api.engine)
    task = api.submit()["id"]
    worker.begin(task)
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE worker SET begun = ARRAY[CAST(:id AS uuid)]"), {"id": task})
        conn.execute(sa.text("INSERT INTO queue_depth (queue, state, tasks) VALUES ('default', 'running', 1)"))
    queues = api.http.get("/api/v1/queues")
    queue_answers.QueuePage.model_validate_json(queues.content)
    default = api.http.get("/api/v1/queues/default").json()
    assert (default["workers"], default["depth"]["running"], default["paused"]) == (2, 1, False)
    assert default in queues.json()["items"]
    live = {"blocked", "scheduled", "queued", "running", "retrying"}
    assert set(default["depth"]) == live, "what has ended is not counted, so nothing is said of it"
    workers = api.http.get("/api/v1/workers")
    worker_answers.WorkerPage.model_validate_json(workers.content)
    found = api.http.get(f"/api/v1/workers/{worker.id}").json()
    assert (found["state"], found["running"]) == ("running", [task])
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE worker SET beat_at = now() - interval '1 minute'"))
    assert api.http.get(f"/api/v1/workers/{worker.id}").json()["state"] == "lost"
    hidden = api.client(api.key("read", queues=["selection"]))
    assert hidden.get(f"/api/v1/workers/{worker.id}").status_code == 404


def test_workers_that_live_are_found_however_many_have_stopped_since(api: Api) -> None:
    worker = Worker(api.engine)
    with api.engine.connect() as conn:
        conn.execute(
            sa.text("""
            INSERT INTO worker (id, name, host, pid, version, queues, task_types, processes, threads, state, stopped_at)
            SELECT CAST('ffffffff-0000-7000-8000-' || lpad(n::text, 12, '0') AS uuid), 'old-' || n, 'h', 1, '1',
                '{default}', '{}', 1, 1, 'stopped', now()
            FROM generate_series(1, 250) n
            """)
        )

    def found(query: str, client: httpx.Client = api.http) -> list[str]:
        return [one["id"] for one in client.get(f"/api/v1/workers?{query}").json()["items"]]

    assert str(worker.id) not in found("limit=200")
    assert str(worker.id) in found("alive=true")
    assert str(worker.id) in found("alive=true&queue=default")
    assert len(found("alive=false&limit=200")) == 200
    assert found("queue=none-serves-it") == []
    parts = api.http.get("/health/detailed").json()["components"]["workers"]
    assert (parts["status"], parts["workers_count"]) == ("healthy", 2), "this one, and that with all kits"
    restricted = api.client(api.key("read", queues=["low_priority"]))
    assert found("queue=low_priority&alive=true", restricted) != []
    assert found("queue=default", restricted) == [], "not even whether there are any"


def test_a_worker_tells_its_attempts_to_keys_that_see_all_its_queues(api: Api) -> None:
    worker = Worker(api.engine)
    ended = {"succeeded": 7, "failed": 1, "retried": 2, "crashed": 0, "cancelled": 3}
    with api.engine.connect() as conn:
        conn.execute(
            sa.text(
                "UPDATE worker SET attempts = CAST(:ended AS jsonb), load_average = '{0.5,0.25,0.125}',"
                " queues = '{default,selection}' WHERE id = :id"
            ),
            {"ended": json.dumps(ended), "id": worker.id},
        )
    told = {}
    for queues in (None, ("default", "selection"), ("default",)):
        client = api.client(api.key("read", queues=queues and list(queues)))
        shown = worker_answers.WorkerDetails.model_validate(client.get(f"/api/v1/workers/{worker.id}").json())
        assert shown.load_average == [0.5, 0.25, 0.125]
        assert "diagnostics.echo" in shown.task_types
        told[queues] = shown.attempts and shown.attempts.model_dump()
    assert told == {None: ended, ("default", "selection"): ended, ("default",): None}


def test_large_numbers_are_shown_as_they_were_sent(api: Api) -> None:
    """A task with such a number must not make itself, and every list that contains it, unreadable."""
    task = api.submit(params={"value": {"large": 1e30, "huge": -1.7976931348623157e308}})
    found = api.http.get(f"/api/v1/tasks/{task['id']}")
    assert found.status_code == 200, found.text
    assert found.json()["params"] == task["params"] == {"value": {"large": 1e30, "huge": -1.7976931348623157e308}}
    assert [item["id"] for item in api.http.get("/api/v1/tasks").json()["items"]] == [task["id"]]


@pytest.mark.long
def test_a_page_ends_early_where_its_tasks_are_large(api: Api) -> None:
    ids = [api.submit(params={"value": [[]] * 80_000})["id"] for _ in range(9)][::-1]
    found: list[str] = []
    sizes: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.http.get("/api/v1/tasks?limit=200" + (f"&cursor={cursor}" if cursor else "")).json()
        sizes.append(len(page["items"]))
        found += [task["id"] for task in page["items"]]
        assert all(task["params"] == {"value": [[]] * 80_000} for task in page["items"])
        cursor = page["next_cursor"]
    assert found == ids, "nothing is left out, and nothing comes twice"
    assert len(sizes) > 1
    assert max(sizes) < 6, "a mebibyte of parameters, and the task that goes beyond it"


def test_a_task_that_is_larger_than_a_page_is_shown(api: Api) -> None:
    # PostgreSQL writes each of these numbers with 309 digits.
    params = {"value": [1.7976931348623157e308] * 8_000}
    ids = [api.submit(params=params)["id"] for _ in range(2)][::-1]
    first = api.http.get("/api/v1/tasks").json()
    assert [task["id"] for task in first["items"]] == ids[:1]
    second = api.http.get(f"/api/v1/tasks?cursor={first['next_cursor']}").json()
    assert [task["id"] for task in second["items"]] == ids[1:]
    assert second["next_cursor"] is None
    assert second["items"][0]["params"] == params
