"""Lists of tasks by what they come from, and by how long they have run."""

from __future__ import annotations

from typing import Any

import httpx
import sqlalchemy as sa

from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker


def listed(client: httpx.Client, **query: Any) -> list[str]:
    answer = client.get("/api/v1/tasks", params=query)
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.json()["items"]]


def become(api: Api, *tasks: str, **columns: str) -> None:
    given = ", ".join(f"{name} = :{name}" for name in columns)
    with api.engine.begin() as conn:
        conn.execute(
            sa.text(f"UPDATE task SET {given} WHERE id = ANY(CAST(:ids AS uuid[]))"),
            {**columns, "ids": list(tasks)},
        )


def test_what_a_task_submitted_is_listed_newest_first(api: Api) -> None:
    parent, *children = (str(api.submit()["id"]) for _ in range(4))
    become(api, *children, parent_id=parent)
    assert listed(api.http, parent_id=parent) == children[::-1]
    assert listed(api.http, parent_id=children[0]) == []
    assert listed(api.http, parent_id=parent, state="queued", name="diagnostics.echo", limit=2) == children[:0:-1]
    assert listed(api.http, parent_id=parent, state="running") == []


def test_a_restricted_key_learns_nothing_of_a_parent_in_another_queue(api: Api) -> None:
    hidden, seen = str(api.submit()["id"]), str(api.submit(queue="low_priority")["id"])
    children = [str(api.submit(queue="low_priority")["id"]) for _ in range(2)]
    become(api, children[0], parent_id=hidden)
    become(api, children[1], parent_id=seen)
    client = api.client(api.key("read", queues=["low_priority"]))
    assert listed(client, parent_id=hidden) == []
    assert listed(client, parent_id=seen) == [children[1]]


def test_what_a_schedule_submitted_is_listed(api: Api) -> None:
    body = {"name": "hourly", "task": {"name": "diagnostics.echo", "params": {"value": 1}}}
    made = api.http.post("/api/v1/schedules", json={**body, "trigger": {"every_seconds": 3600}}).json()
    fired = [api.http.post(f"/api/v1/schedules/{made['id']}/trigger").json()["task_id"] for _ in range(3)]
    api.submit()
    assert listed(api.http, schedule_id=made["id"]) == fired[::-1]
    assert listed(api.http, schedule_id=made["id"], state="succeeded") == []


def test_what_runs_is_listed_by_its_start_the_oldest_first(api: Api) -> None:
    worker = Worker(api.engine)
    tasks = [str(api.submit(queue=queue, tags=["t"])["id"]) for queue in ("default", "low_priority") * 3]
    for task in (running := [tasks[3], tasks[0], tasks[4], tasks[1]]):
        worker.begin(task)
    assert listed(api.http, order="running_longest") == running
    assert listed(api.http, order="running_longest", queue="default") == [tasks[0], tasks[4]]
    assert listed(api.http, order="running_longest", tag="t", state="running", limit=2) == running[:2]
    first = api.http.get("/api/v1/tasks", params={"order": "running_longest", "limit": 3}).json()
    rest = api.http.get("/api/v1/tasks", params={"order": "running_longest", "cursor": first["next_cursor"]}).json()
    assert [task["id"] for task in first["items"] + rest["items"]] == running
    assert rest["next_cursor"] is None
    client = api.client(api.key("read", queues=["low_priority"]))
    assert listed(client, order="running_longest") == [tasks[3], tasks[1]]
    refused = api.http.get("/api/v1/tasks", params={"order": "running_longest", "state": "queued"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_what_a_worker_runs_is_listed(api: Api) -> None:
    worker, other = Worker(api.engine), Worker(api.engine)
    tasks = [str(api.submit(queue=queue)["id"]) for queue in ("default", "low_priority", "default", "default")]
    for task in tasks[:3]:
        worker.begin(task)
    other.begin(tasks[3])
    worker.end(tasks[0])
    mine = str(worker.id)
    assert listed(api.http, worker_id=mine) == listed(api.http, worker_id=mine, state="running") == [tasks[2], tasks[1]]
    assert listed(api.http, worker_id=mine, order="running_longest") == [tasks[1], tasks[2]]
    assert listed(api.http, worker_id=mine, queue="low_priority") == [tasks[1]]
    client = api.client(api.key("read", queues=["low_priority"]))
    assert listed(client, worker_id=mine) == [tasks[1]]
    for more in ({"state": "succeeded"}, {"order": "waiting_longest"}):
        refused = api.http.get("/api/v1/tasks", params={"worker_id": mine, **more})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert listed(api.http, order="waiting_longest") == []


def test_what_waits_is_listed_by_its_submit_the_oldest_first(api: Api) -> None:
    tasks = [str(api.submit(queue=queue, tags=["t"])["id"]) for queue in ("default", "low_priority") * 2]
    Worker(api.engine).begin(str(api.submit()["id"]))
    assert listed(api.http, order="waiting_longest") == tasks
    assert listed(api.http, order="waiting_longest", queue="low_priority", tag="t") == tasks[1::2]
    first = api.http.get("/api/v1/tasks", params={"order": "waiting_longest", "limit": 3}).json()
    assert [task["id"] for task in first["items"]] == tasks[:3]
    assert listed(api.http, order="waiting_longest", cursor=first["next_cursor"]) == tasks[3:]
    assert listed(api.client(api.key("read", queues=["default"])), order="waiting_longest") == tasks[::2]
    for wrong in ({"state": "running"}, {"parent_id": tasks[0]}):
        refused = api.http.get("/api/v1/tasks", params={"order": "waiting_longest", **wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
