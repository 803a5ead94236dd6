"""Waiting tasks are changed; many tasks are cancelled at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
import sqlalchemy as sa

from taskyard.broker.names import Names
from taskyard.lifecycle import claim as claiming
from taskyard.lifecycle.cancel_many import cancel_tasks
from taskyard.lifecycle.promote import promote
from taskyard.store import ledger
from taskyard.store.audit import Actor
from taskyard.store.live_tasks import Wanted
from tests.integration.api.conftest import Api
from tests.integration.api.worker import TYPES, Worker
from tests.support.fleet import wait_for

LATER = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def change(api: Api, task_id: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = api.http.patch(f"/api/v1/tasks/{task_id}", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def kinds(api: Api, task_id: str) -> list[str]:
    return [e["kind"] for e in api.http.get(f"/api/v1/tasks/{task_id}/events").json()["items"]]


def test_a_queued_task_that_is_moved_is_published_in_its_new_queue(api: Api, shared_redis: redis.Redis) -> None:
    task_id = api.submit()["id"]
    moved = change(api, task_id, queue="low_priority")
    assert (moved["state"], moved["queue"]) == ("queued", "low_priority")
    key = Names(api.settings.namespace).queue("low_priority")
    assert wait_for(lambda: shared_redis.lrange(key, 0, -1) == [f"{task_id}:2".encode()], 5)
    (event,) = [e for e in api.http.get(f"/api/v1/tasks/{task_id}/events").json()["items"] if e["kind"] == "changed"]
    assert {k: event["data"][k] for k in ("queue", "from_queue")} == {"queue": "low_priority", "from_queue": "default"}


def test_the_message_that_a_moved_task_left_behind_wins_no_claim_in_the_old_queue(api: Api) -> None:
    task_id = api.submit()["id"]
    change(api, task_id, queue="low_priority")
    worker = Worker(api.engine)

    def claim(*queues: str) -> tuple[list[UUID], list[str]]:
        with api.engine.connect() as conn:
            about: dict[str, Any]
            ids, about = [UUID(task_id)], {"types": TYPES, "worker_id": worker.id, "queues": queues}
            refused = [r.reason for r in claiming.refusals(conn, ids, **about)]
            won = claiming.claim(conn, ids, claim=uuid4(), worker="w:0", **about).answer
            return [w.id for w in won], refused

    assert claim("default") == ([], ["moved"])
    assert claim("default", "low_priority")[0] == [UUID(task_id)]


def test_a_task_gets_another_time_later_or_now(api: Api) -> None:
    task_id = api.submit()["id"]
    put_off = change(api, task_id, run_at=instant(LATER))
    assert (put_off["state"], put_off["run_at"]) == ("scheduled", instant(LATER))
    still = change(api, task_id, tags=["a", "b"])
    assert (still["state"], still["tags"], still["run_at"]) == ("scheduled", ["a", "b"], instant(LATER))
    at_once = change(api, task_id, run_at=instant(datetime.now(UTC) - timedelta(minutes=1)))
    assert at_once["state"] == "queued"
    assert kinds(api, task_id).count("changed") == 3
    with api.engine.begin() as conn:
        assert promote(conn).answer == 0


def test_what_is_scheduled_keeps_its_time_in_another_queue(api: Api) -> None:
    task_id = api.submit(run_at=instant(LATER))["id"]
    moved = change(api, task_id, queue="low_priority")
    assert (moved["state"], moved["queue"], moved["run_at"]) == ("scheduled", "low_priority", instant(LATER))


def test_tags_and_expiry_of_a_queued_task_change_nothing_else(api: Api) -> None:
    before = api.submit(tags=["old"])
    after = change(api, before["id"], tags=[], expires_at=instant(LATER))
    assert (after["tags"], after["expires_at"], after["state"]) == ([], instant(LATER), "queued")
    with api.engine.connect() as conn:
        assert conn.scalar(sa.text("SELECT publication FROM task")) == 1


def test_a_step_that_waits_for_its_needs_is_due_when_it_was_told_to(api: Api) -> None:
    steps = {
        "first": {"name": "diagnostics.echo", "params": {"value": 1}},
        "second": {"name": "diagnostics.echo", "params": {"value": 2}, "needs": ["first"]},
    }
    made = api.http.post("/api/v1/workflows", json={"steps": steps}).json()
    listed = api.http.get("/api/v1/tasks", params={"workflow_id": made["id"]}).json()["items"]
    first, second = sorted(listed, key=lambda task: task["state"] == "blocked")
    changed = change(api, second["id"], run_at=instant(LATER), queue="low_priority")
    assert (changed["state"], changed["queue"]) == ("blocked", "low_priority")
    worker = Worker(api.engine)
    worker.begin(first["id"])
    worker.end(first["id"])
    after = api.http.get(f"/api/v1/tasks/{second['id']}").json()
    assert (after["state"], after["run_at"]) == ("scheduled", instant(LATER))


def test_an_expiry_that_would_come_before_the_new_time_moves_along(api: Api) -> None:
    task_id = api.submit(expires_at=instant(LATER))["id"]
    later = change(api, task_id, run_at=instant(LATER + timedelta(hours=1)))
    assert later["expires_at"] > later["run_at"]
    sooner = change(api, task_id, run_at=instant(LATER))
    assert sooner["expires_at"] == later["expires_at"]


def test_what_does_not_wait_is_not_changed(api: Api) -> None:
    worker, task_id = Worker(api.engine), api.submit()["id"]
    worker.begin(task_id)
    refused = change(api, task_id, 409, tags=["x"])
    assert (refused["code"], refused["state"]) == ("state_conflict", "running")
    worker.end(task_id)
    assert change(api, task_id, 409, queue="low_priority")["state"] == "succeeded"
    assert "changed" not in kinds(api, task_id)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"tags": None}, "/tags"),
        ({"queue": "none_such"}, "/queue"),
        ({"run_at": "2050-01-01T00:00:00Z"}, "/run_at"),
        ({"run_at": "2036-06-01T00:00:00Z", "expires_at": "2036-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"params": {"value": 2}}, "/params"),
    ],
)
def test_what_a_submit_would_refuse_is_refused_by_pointer(api: Api, body: dict[str, Any], pointer: str) -> None:
    task_id = api.submit(expires_at=instant(LATER))["id"]
    refused = change(api, task_id, 422, **body)
    assert pointer in [e["pointer"] for e in refused["errors"]]


def test_a_key_moves_tasks_between_its_own_queues_only(api: Api) -> None:
    mine = api.client(api.key("manage", "read", queues=["default"]))
    task_id, other = api.submit()["id"], api.submit(queue="low_priority")["id"]
    assert mine.patch(f"/api/v1/tasks/{task_id}", json={"queue": "low_priority"}).status_code == 403
    assert mine.patch(f"/api/v1/tasks/{other}", json={"queue": "default"}).status_code == 404
    assert mine.patch(f"/api/v1/tasks/{task_id}", json={"tags": ["ok"]}).json()["tags"] == ["ok"]


def cancel(api: Api, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = api.http.post("/api/v1/tasks/cancel", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return {name: value for name, value in found.items() if name not in {"has_more", "at"}}


def state(api: Api, task_id: str) -> str:
    found: str = api.http.get(f"/api/v1/tasks/{task_id}").json()["state"]
    return found


def test_tasks_are_cancelled_by_each_condition_of_a_filter(api: Api) -> None:
    worker = Worker(api.engine)
    running, done = api.submit(tags=["t"])["id"], api.submit(tags=["t"])["id"]
    for task_id in (running, done):
        worker.begin(task_id)
    worker.end(done)
    tagged, low = api.submit(tags=["t"])["id"], api.submit(queue="low_priority")["id"]
    later, mail = api.submit(delay_seconds=60)["id"], api.submit()["id"]
    assert cancel(api, filter={"queue": "low_priority"}) == {"matched": 1, "changed": 1}
    assert cancel(api, filter={"state": ["scheduled"]}) == {"matched": 1, "changed": 1}
    assert cancel(api, filter={"tag": "t"}) == {"matched": 2, "changed": 2}, "what has ended does not match"
    assert [state(api, i) for i in (low, later, tagged, running, done, mail)] == [
        *["cancelled"] * 3,
        *["running", "succeeded", "queued"],
    ]
    assert api.http.get(f"/api/v1/tasks/{running}").json()["cancel_requested_at"] is not None
    assert cancel(api, filter={"tag": "t"}) == {"matched": 1, "changed": 0}, "it had been asked to stop before"
    assert cancel(api, filter={"name": "email.send"}) == {"matched": 0, "changed": 0}
    assert cancel(api, filter={"name": "diagnostics.echo", "state": ["queued"]}) == {"matched": 1, "changed": 1}


def test_those_that_were_asked_before_do_not_stand_before_the_others(api: Api) -> None:
    """They are the oldest, and stay for as long as they run."""
    worker = Worker(api.engine)
    running = [api.submit()["id"] for _ in range(2)]
    for task_id in running:
        worker.begin(task_id)
    waiting = [api.submit()["id"] for _ in range(3)]
    said = []
    for _ in range(4):
        with ledger.transaction(api.engine) as conn:
            done = cancel_tasks(conn, Wanted(queue="default"), by=Actor("ci"), limit=2).answer
        said.append((len(done.ids), done.has_more))
    assert said == [(2, True), (2, True), (1, False), (0, False)]
    assert {state(api, i) for i in waiting} == {"cancelled"}


def test_what_is_submitted_after_the_first_call_is_left_out_of_the_next(api: Api) -> None:
    api.submit()
    said = api.http.post("/api/v1/tasks/cancel", json={"filter": {"queue": "default"}, "count": False}).json()
    assert (said["matched"], said["changed"], said["has_more"]) == (1, 1, False)
    later = api.submit()["id"]
    bounded = {"queue": "default", "created_before": said["at"]}
    assert cancel(api, filter=bounded) == {"matched": 0, "changed": 0}
    assert state(api, later) == "queued"
    low = "/api/v1/queues/low_priority/purge"
    began = api.http.post(low, json={}).json()["at"]
    api.submit(queue="low_priority")
    purged = api.http.post(low, json={"created_before": began}).json()
    assert (purged["matched"], purged["left"]) == (0, 0)


def test_tasks_are_cancelled_in_a_queue_that_has_no_row(api: Api) -> None:
    ids = [api.submit(queue="low_priority", tags=["t"])["id"] for _ in range(3)]
    with api.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM queue WHERE name = 'low_priority'"))
    looked = cancel(api, filter={"tag": "t"}, dry_run=True)
    assert (looked["matched"], [t["id"] for t in looked["sample"]]) == (3, ids)
    assert cancel(api, filter={"tag": "t"}) == {"matched": 3, "changed": 3}
    assert {state(api, task_id) for task_id in ids} == {"cancelled"}


def test_tasks_are_cancelled_by_their_ids_or_by_their_workflow(api: Api) -> None:
    ids = [api.submit()["id"] for _ in range(3)]
    found = cancel(api, ids=[*ids[:2], str(uuid4())])
    assert (found["matched"], found["changed"], found["changed_ids"]) == (2, 2, ids[:2])
    step = {"name": "diagnostics.echo", "params": {"value": 1}}
    made = api.http.post("/api/v1/workflows", json={"steps": {"a": step, "b": {**step, "needs": ["a"]}}}).json()
    assert cancel(api, filter={"workflow_id": made["id"]}) == {"matched": 2, "changed": 2}
    assert state(api, ids[2]) == "queued"


def test_a_dry_run_of_a_cancellation_counts_and_shows_some_and_changes_nothing(api: Api) -> None:
    ids = [api.submit()["id"] for _ in range(12)]
    looked = cancel(api, filter={"queue": "default"}, dry_run=True)
    assert (looked["matched"], looked["changed"], [t["id"] for t in looked["sample"]]) == (12, 0, ids[:10])
    assert cancel(api, filter={"queue": "default"}) == {"matched": 12, "changed": 12}
    (row,) = api.http.get("/api/v1/audit", params={"action": "tasks.cancel"}).json()["items"]
    assert row["details"]["filter"]["queue"] == "default"
    assert row["details"]["ids"] == ids


def test_the_audit_log_keeps_no_tags(api: Api) -> None:
    task_id = api.submit(tags=["ada"])["id"]
    change(api, task_id, tags=["ada", "lovelace"], queue="low_priority")
    cancel(api, filter={"tag": "lovelace"})
    cancelled, changed = api.http.get("/api/v1/audit").json()["items"][:2]
    assert (changed["details"]["tags"], changed["details"]["queue"]) == ("***", "low_priority")
    assert (cancelled["details"]["filter"]["tag"], cancelled["details"]["ids"]) == ("***", [task_id])
    assert "lovelace" not in str([cancelled, changed])


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"filter": {}}, {"filter": {"state": ["failed"]}}, {"ids": []}, {"ids": ["x"]}),
        *(
            {"filter": {"name": None}},
            {"ids": [str(uuid4())], "filter": {"queue": "default"}},
            {"filter": {"state": []}},
        ),
    ],
)
def test_a_cancellation_without_a_condition_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert cancel(api, 422, **body)["code"] == "invalid_request"


def test_a_cancellation_by_ids_says_which_were_not_there_or_had_ended(api: Api) -> None:
    worker, (ended, waiting), absent = Worker(api.engine), [api.submit()["id"] for _ in range(2)], str(uuid4())
    worker.begin(ended)
    worker.end(ended)
    skipped = [{"task_id": absent, "reason": "unknown"}, {"task_id": ended, "reason": "ended"}]
    for dry_run, changed in ((True, 0), (False, 1)):
        found = cancel(api, ids=[absent, waiting, ended], dry_run=dry_run)
        assert (found["matched"], found["changed"], found["skipped"]) == (1, changed, skipped)
    assert "skipped" not in cancel(api, filter={"queue": "default"})


def test_an_expiry_cannot_be_removed_and_the_refusal_says_why(api: Api) -> None:
    answer = api.http.patch(f"/api/v1/tasks/{api.submit()['id']}", json={"expires_at": None})
    assert answer.status_code == 422
    assert "Every task has an expiry" in answer.text


def test_a_key_cancels_tasks_of_its_own_queues_only(api: Api) -> None:
    mine = api.client(api.key("manage", queues=["low_priority"]))
    ids = [api.submit()["id"], api.submit(queue="low_priority")["id"]]
    skipped = [{"task_id": ids[0], "reason": "unknown"}]
    found = mine.post("/api/v1/tasks/cancel", json={"ids": ids}).json()
    assert (found["matched"], found["changed"], found["skipped"]) == (1, 1, skipped)
    assert mine.post("/api/v1/tasks/cancel", json={"filter": {"queue": "default"}}).json()["matched"] == 0
    assert [state(api, i) for i in ids] == ["queued", "cancelled"]
