"""Changes of any number of tasks over HTTP; tests/kits/maintenance/test_change_tasks.py makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from taskyard_client import Client
from tests.integration.api.conftest import Api

PATH = "/api/v1/operations"
CANCEL: dict[str, Any] = {"action": "cancel", "filter": {"tag": "import", "state": ["queued"]}}


def asked(client: httpx.Client, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = client.post(PATH, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_answer_is_the_task_that_makes_the_change(api: Api) -> None:
    answer = api.http.post(PATH, json={**CANCEL, "per_second": 20})
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/v1/tasks/{answer.json()['id']}")
    task = api.http.get(answer.headers["Location"]).json()
    assert task["name"] == "maintenance.change_tasks"
    params = task["params"]
    given = {name: value for name, value in params["filter"].items() if value is not None}
    assert (params["action"], given, params["per_second"]) == ("cancel", CANCEL["filter"], 20)
    (row,) = api.http.get("/api/v1/audit", params={"target": task["id"]}).json()["items"]
    assert row["action"] == "operation.start"
    assert row["details"] == {"change": "cancel", "filter": {"tag": "***", "state": ["queued"]}}


def test_replays_have_the_rate_of_the_platform_unless_another_is_given(api: Api) -> None:
    filter_ = {"code": "boom"}
    assert asked(api.http, action="retry", filter=filter_)["params"]["per_second"] == 50
    assert asked(api.http, action="retry", filter=filter_, per_second=0.5)["params"]["per_second"] == 0.5
    assert asked(api.http, action="discard", filter=filter_)["params"]["per_second"] is None


def test_a_dry_run_counts_and_shows_and_submits_nothing(api: Api) -> None:
    tasks = [api.submit(tags=["import"])["id"] for _ in range(3)]
    told = asked(api.http, 200, **CANCEL, dry_run=True)
    assert (told["matched"], told["changed"], [t["id"] for t in told["sample"]]) == (3, 0, tasks)
    assert api.count_tasks() == 3
    api.http.post("/api/v1/tasks/cancel", json={"ids": tasks[:2]})
    again = asked(api.http, 200, action="retry", filter={"state": ["cancelled"]}, dry_run=True)
    assert (again["matched"], [t["id"] for t in again["sample"]]) == (2, tasks[:2])
    assert asked(api.http, 200, action="restore", filter={"name": "email.send"}, dry_run=True)["matched"] == 0


def test_an_operation_is_pinned_to_its_preview(api: Api) -> None:
    api.submit(tags=["import"])
    looked = asked(api.http, 200, **CANCEL, dry_run=True)
    api.submit(tags=["import"])
    assert asked(api.http, 200, **CANCEL, dry_run=True, as_of=looked["at"])["matched"] == 1
    assert asked(api.http, 200, **CANCEL, dry_run=True)["matched"] == 2
    task = asked(api.http, **CANCEL, as_of=looked["at"])
    (row,) = api.http.get("/api/v1/audit", params={"target": task["id"]}).json()["items"]
    assert datetime.fromisoformat(row["details"]["as_of"]) == datetime.fromisoformat(looked["at"])


def test_a_preview_counts_what_is_cancelled_with_the_tasks(api: Api) -> None:
    parent, other = (api.submit(tags=["import"])["id"] for _ in range(2))
    child, done, lone, kept = (api.submit()["id"] for _ in range(4))
    grandchild = api.submit()["id"]
    with api.engine.begin() as conn:
        move = sa.text("UPDATE task SET parent_id = CAST(:parent AS uuid) WHERE id = CAST(:id AS uuid)")
        # What a task that has ended submitted is reached, too; what fits by itself is counted once.
        for of, task_id in ((parent, child), (parent, done), (done, grandchild), (parent, other), (lone, kept)):
            conn.execute(move, {"parent": of, "id": task_id})
        conn.execute(sa.text("UPDATE task SET state = 'cancelled', finished_at = now() WHERE id = :id"), {"id": done})
    told = asked(api.http, 200, **CANCEL, dry_run=True)
    assert (told["matched"], told["descendants"], told["has_more_descendants"]) == (2, 2, False)
    both = api.http.post("/api/v1/tasks/cancel", json={"ids": [parent, lone], "dry_run": True}).json()
    assert (both["matched"], both["descendants"]) == (2, 4)
    leave = sa.text("UPDATE task SET on_cancel = 'leave_children' WHERE id = :id")
    with api.engine.begin() as conn:
        conn.execute(leave, {"id": parent})
    assert asked(api.http, 200, **CANCEL, dry_run=True)["descendants"] == 0


def test_a_repeat_under_its_idempotency_key_is_one_operation(api: Api) -> None:
    answers = [api.http.post(PATH, json=CANCEL, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert (api.count_tasks(), answers[1].headers["Idempotency-Replayed"]) == (1, "true")


def test_a_restricted_key_changes_its_own_queues_and_reads_the_task(api: Api) -> None:
    api.submit(tags=["import"])
    client = api.client(api.key("manage", "read", queues=["default"]))
    task = asked(client, **CANCEL)
    assert task["queue"] == "default", "not high_priority, where it could not read it"
    assert client.get(f"/api/v1/tasks/{task['id']}").status_code == 200
    elsewhere = api.client(api.key("manage", queues=["unserved"]))
    assert asked(elsewhere, 200, **CANCEL, dry_run=True)["matched"] == 0
    assert asked(elsewhere, 403, **CANCEL)["code"] == "queue_not_allowed"
    assert asked(api.client(api.key("submit", "read")), 403, **CANCEL)["code"] == "missing_scope"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "purge", "filter": {"name": "email.send"}}, "/action"),
        ({"action": "cancel", "filter": {}}, "/filter"),
        ({"action": "cancel"}, "/filter"),
        ({"action": "cancel", "filter": {"code": "boom"}}, ""),
        ({"action": "retry", "filter": {"workflow_id": str(uuid4())}}, ""),
        ({"action": "discard", "filter": {"discarded_after": "2026-01-31T00:00:00Z"}}, ""),
        ({**CANCEL, "per_second": 0}, "/per_second"),
        ({"action": "retry", "filter": {"state": ["queued"]}}, ""),
        ({"action": "cancel", "filter": {"state": ["cancelled"]}}, ""),
        ({"action": "discard", "filter": {"state": ["cancelled"]}}, ""),
        ({**CANCEL, "as_of": "2026-07-01T08:00:00"}, "/as_of"),
    ],
)
def test_what_does_not_fit_the_action_is_refused(api: Api, body: dict[str, Any], pointer: str) -> None:
    assert asked(api.http, 422, **body)["errors"][0]["pointer"] == pointer


def test_the_client_asks_for_operations(api: Api) -> None:
    api.submit(tags=["import"])
    with Client(api.url, api.key("manage", "read")) as client:
        looked = client.operations.preview("cancel", tag="import")
        assert (looked.matched, looked.descendants) == (1, 0)
        task = client.operations.start("cancel", tag="import", per_second=5, as_of=looked.at)
        assert client.task(task.id).params["per_second"] == 5
