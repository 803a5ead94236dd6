"""Schedules over HTTP: what is taken, who sees them, what of them is told, and what each call does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa

from taskyard.domain.tasks import Failed, Fault

from .conftest import Api
from .worker import Worker

PATH = "/api/v1/schedules"


def wish(name: str = "nightly", **more: Any) -> dict[str, Any]:
    task = {"name": "diagnostics.echo", "params": {"value": 1}}
    return {"name": name, "task": task, "trigger": {"cron": "0 2 * * *", "timezone": "Europe/Budapest"}, **more}


def make(http: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = http.post(PATH, json=wish(**more))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{made['id']}"
    return made


def faults(http: httpx.Client, **more: Any) -> dict[str, str]:
    answer = http.post(PATH, json=wish(**more))
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["message"] for error in answer.json()["errors"]}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_schedule_tells_its_task_as_admitted_and_its_next_due_times(api: Api) -> None:
    made = make(api.http)
    assert made == api.http.get(f"{PATH}/{made['id']}").json()
    assert api.http.get(PATH).json()["items"] == [made]
    assert made["task"]["queue"] == "default"
    assert made["task"]["params"] == {"value": 1}
    assert made["trigger"] == {"cron": "0 2 * * *", "timezone": "Europe/Budapest", "every_seconds": None, "at": None}
    assert (made["misfire"], made["overlap"], made["enabled"], made["version"]) == ("once", "allow", True, 1)
    assert len(made["next_fires"]) == 5
    gaps = [at(b) - at(a) for a, b in zip(made["next_fires"], made["next_fires"][1:], strict=False)]
    assert all(timedelta(hours=23) <= gap <= timedelta(hours=25) for gap in gaps)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"trigger": {"cron": "0 25 * * *"}}, "/trigger/cron"),
    ({"trigger": {"cron": "0 0 30 2 *"}}, "/trigger/cron"),
    ({"trigger": {"cron": "0 0 2nd fri * */7"}}, "/trigger"),
    ({"trigger": {"cron": "* * * *"}}, "/trigger/cron"),
    ({"trigger": {"cron": "*" * 100_000}}, "/trigger/cron"),
    ({"trigger": {"cron": "* * * * *", "timezone": "Europe/Atlantis"}}, "/trigger/timezone"),
    ({"trigger": {"cron": "* * * * *", "timezone": "../../etc/passwd"}}, "/trigger/timezone"),
    ({"trigger": {"every_seconds": 0}}, "/trigger/every_seconds"),
    ({"trigger": {"every_seconds": 60, "cron": "* * * * *"}}, "/trigger"),
    ({"trigger": {"at": "2020-01-01T00:00:00Z"}}, "/trigger/at"),
    ({"trigger": {}}, "/trigger"),
    ({"end_at": "2020-01-01T00:00:00Z"}, "/trigger"),
    ({"start_at": "2040-01-02T00:00:00Z", "end_at": "2040-01-01T00:00:00Z"}, "/end_at"),
    ({"misfire": "sometimes"}, "/misfire"),
    ({"catch_up_seconds": -1}, "/catch_up_seconds"),
    ({"task": {"name": "diagnostics.ecco", "params": {}}}, "/task/name"),
    ({"task": {"name": "email.send", "params": {"to_email": "no address"}}}, "/task/params/to_email"),
    ({"task": {"name": "diagnostics.echo", "params": {"value": 1}, "queue": "nowhere"}}, "/task/queue"),
    ({"task": {"name": "diagnostics.echo", "run_at": "2040-01-01T00:00:00Z"}}, "/task/run_at"),
]


def test_what_is_wrong_is_told_by_its_field(api: Api) -> None:
    for more, pointer in WRONG:
        assert pointer in faults(api.http, **more), more


WRONG_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"end_at": "2020-01-01T00:00:00Z"}, "/end_at"),
    ({"start_at": "2040-01-03T00:00:00Z"}, "/start_at"),
    ({"start_at": "2040-01-02T12:00:00Z"}, "/start_at"),
    ({"end_at": "2039-01-01T00:00:00Z"}, "/end_at"),
    ({"trigger": {"at": "2041-01-01T00:00:00Z"}}, "/trigger/at"),
    *(({name: None}, f"/{name}") for name in ("name", "task", "trigger", "misfire", "overlap", "enabled")),
    *(({name: None}, f"/{name}") for name in ("catch_up_seconds", "jitter_seconds")),
]


def test_what_is_wrong_with_a_change_is_told_by_a_field_of_the_change(api: Api) -> None:
    made = make(api.http, start_at="2040-01-01T00:00:00Z", end_at="2040-01-02T12:30:00Z")
    path = f"{PATH}/{made['id']}"
    for change, pointer in WRONG_CHANGES:
        answer = api.http.patch(path, json=change)
        assert answer.status_code == 422, change
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer], change
    assert api.http.get(path).json() == made
    unbound = api.http.patch(path, json={"start_at": None, "end_at": None}).json()
    assert (unbound["start_at"], unbound["end_at"]) == (None, None)


def test_what_is_over_can_be_changed_but_not_enabled_again(api: Api) -> None:
    made = make(api.http, trigger={"at": "2040-01-01T00:00:00Z"})
    with api.engine.begin() as conn:
        conn.exec_driver_sql(
            """UPDATE schedule SET trigger = '{"at": "2020-01-01T00:00:00Z"}', next_due_at = NULL, fires_at = NULL"""
        )
    path = f"{PATH}/{made['id']}"
    assert api.http.patch(path, json={"jitter_seconds": 5}).json()["next_fires"] == []
    assert api.http.patch(path, json={"enabled": False}).status_code == 200
    refused = api.http.patch(path, json={"enabled": True})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/enabled")


def test_a_wrong_expression_is_told_in_the_readers_language(api: Api) -> None:
    said = set()
    for language in ("en", "de", "fr", "hu"):
        answer = api.http.post(PATH, json=wish(trigger={"cron": "0 25 * * *"}), headers={"Accept-Language": language})
        said.add(answer.json()["errors"][0]["message"])
    assert len(said) == 4


def test_there_is_one_schedule_of_a_name(api: Api) -> None:
    first, second = make(api.http), make(api.http, name="other")
    again = api.http.post(PATH, json=wish())
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    renamed = api.http.patch(f"{PATH}/{second['id']}", json={"name": first["name"]})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "name_taken")


def test_an_idempotency_key_makes_one_schedule_and_one_task(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = (api.http.post(PATH, json=wish(), headers=key) for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert second.headers["Idempotency-Replayed"] == "true"
    path = f"{PATH}/{first.json()['id']}/trigger"
    fires = {api.http.post(path, headers={"Idempotency-Key": "now"}).content for _ in range(2)}
    assert len(fires) == 1
    assert api.count_tasks() == 1


def test_a_change_moves_the_due_times_and_pausing_takes_them_away(api: Api) -> None:
    made = make(api.http)
    path = f"{PATH}/{made['id']}"
    changed = api.http.patch(path, json={"trigger": {"every_seconds": 60}, "misfire": "all"}).json()
    assert (changed["version"], changed["misfire"]) == (2, "all")
    assert at(changed["next_fires"][0]) - datetime.now(UTC) <= timedelta(seconds=60)
    paused = api.http.post(f"{path}/pause").json()
    assert (paused["enabled"], paused["next_fires"], paused["version"]) == (False, [], 3)
    assert api.http.post(f"{path}/pause").json() == paused
    resumed = api.http.post(f"{path}/resume").json()
    assert (resumed["enabled"], len(resumed["next_fires"])) == (True, 5)
    renamed = api.http.patch(path, json={"name": "renamed"}).json()
    assert renamed["next_fires"] == resumed["next_fires"], "the cursor stays"
    assert api.http.delete(path).status_code == 204
    assert api.http.get(path).status_code == 404
    actions = [row["action"] for row in api.http.get("/api/v1/audit", params={"target": made["id"]}).json()["items"]]
    assert actions == [f"schedule.{verb}" for verb in ("delete", "change", "resume", "pause", "change", "create")]


def test_triggering_by_hand_is_a_task_and_a_fire(api: Api) -> None:
    made = make(api.http, enabled=False, overlap="skip")
    path = f"{PATH}/{made['id']}"
    answer = api.http.post(f"{path}/trigger")
    assert answer.status_code == 202, answer.text
    fire = answer.json()
    assert (fire["outcome"], fire["by_hand"]) == ("submitted", True)
    task = api.http.get(f"/api/v1/tasks/{fire['task_id']}").json()
    assert (task["schedule_id"], task["params"], task["state"]) == (made["id"], {"value": 1}, "queued")
    assert api.http.get(f"{path}/fires").json() == {"items": [fire], "next_cursor": None}
    assert [one["last_fire"] for one in api.http.get(PATH).json()["items"]] == [fire]
    assert fire["task_state"] == "queued"
    again = api.http.post(f"{path}/trigger")
    assert (again.status_code, again.json()["code"]) == (409, "state_conflict")


def test_a_schedule_is_in_trouble_while_its_last_task_is_a_dead_letter_or_missing(api: Api) -> None:
    made = {name: make(api.http, name=name)["id"] for name in ("fails", "works", "has-no-worker", "never-due")}

    def troubled(is_so: bool = True) -> set[str]:
        answer = api.http.get(PATH, params={"troubled": str(is_so).lower()})
        return {one["name"] for one in answer.json()["items"]}

    task_id = api.http.post(f"{PATH}/{made['fails']}/trigger").json()["task_id"]
    api.http.post(f"{PATH}/{made['works']}/trigger")
    with api.engine.begin() as conn:
        conn.execute(
            sa.text("INSERT INTO schedule_fire (schedule_id, due_at, outcome) VALUES (:id, now(), 'no_live_worker')"),
            {"id": made["has-no-worker"]},
        )
    assert troubled() == {"has-no-worker"}
    worker = Worker(api.engine)
    worker.begin(task_id)
    worker.end(task_id, Failed(Fault("boom", "It went wrong.", "ValueError", retryable=True)))
    assert troubled() == {"fails", "has-no-worker"}
    assert troubled(False) == {"works", "never-due"}
    restricted = api.client(api.key("read", queues=["low_priority"]))
    assert restricted.get(PATH, params={"troubled": "true"}).json()["items"] == []
    api.http.post("/api/v1/dead-letters/discard", json={"ids": [task_id]})
    assert troubled() == {"has-no-worker"}


def test_fires_are_paged_by_due_time(api: Api) -> None:
    made = make(api.http)
    for _ in range(5):
        api.http.post(f"{PATH}/{made['id']}/trigger")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = api.http.get(f"{PATH}/{made['id']}/fires", params=query).json()
        seen += [fire["due_at"] for fire in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    wrong = api.http.get(f"{PATH}/{made['id']}/fires", params={"cursor": "_" * 21 + "w"})
    assert wrong.status_code == 422


def test_secrets_are_stored_sealed_and_shown_nowhere(api: Api) -> None:
    task = {
        "name": "email.send_verification",
        "params": {"to_email": "a@example.org", "username": "a", "token": "s3cret"},
    }
    made = make(api.http, task=task)
    assert made["task"]["params"]["token"] == "***"
    with api.engine.connect() as conn:
        stored = conn.exec_driver_sql("SELECT task::text FROM schedule").scalar_one()
    audited = api.http.get("/api/v1/audit").text
    assert all("s3cret" not in text for text in (stored, audited, str(made), api.http.get(PATH).text))
    fire = api.http.post(f"{PATH}/{made['id']}/trigger").json()
    assert api.http.get(f"/api/v1/tasks/{fire['task_id']}").json()["params"]["token"] == "***"


def test_a_key_of_other_queues_neither_sees_nor_changes_it_nor_makes_one_there(api: Api) -> None:
    made = make(api.http)
    other = api.client(api.key("read", "manage", queues=["low_priority"]))
    path = f"{PATH}/{made['id']}"
    assert other.get(PATH).json()["items"] == []
    for answer in (
        other.get(path), other.patch(path, json={"enabled": False}), other.delete(path), other.get(f"{path}/fires"),
        other.post(f"{path}/trigger"), other.post(f"{path}/pause"), other.post(f"{path}/resume"),
    ):  # fmt: skip
        assert answer.status_code == 404
    refused = other.post(PATH, json=wish(name="mine"))
    assert (refused.status_code, refused.json()["code"]) == (403, "queue_not_allowed")


def test_changes_need_manage_and_reads_need_read(api: Api) -> None:
    path = f"{PATH}/{make(api.http)['id']}"
    reader, manager = api.client(api.key("read")), api.client(api.key("manage"))
    for answer in (
        reader.post(PATH, json=wish()), reader.patch(path, json={}), reader.delete(path),
        reader.post(f"{path}/pause"), reader.post(f"{path}/resume"), reader.post(f"{path}/trigger"),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["scope"]) == (403, "manage")
    for answer in (manager.get(PATH), manager.get(path), manager.get(f"{path}/fires")):
        assert (answer.status_code, answer.json()["scope"]) == (403, "read")
    told = manager.post(f"{path}/pause").json()
    assert "task" not in told, "what a key without read may not see"


def test_a_preview_saves_nothing(api: Api) -> None:
    body = {"trigger": {"cron": "0 9 2nd fri * *", "timezone": "America/New_York"}, "count": 3}
    answer = api.http.post(f"{PATH}/preview", json=body)
    assert answer.status_code == 200, answer.text
    days = [at(text).day for text in answer.json()["next_fires"]]
    assert len(days) == 3
    assert all(8 <= day <= 14 for day in days)
    assert api.http.get(PATH).json()["items"] == []
    assert api.http.post(f"{PATH}/preview", json={**body, "count": 101}).status_code == 422


def test_what_a_schedule_keeps_is_what_admission_made(api: Api) -> None:
    """So the worker's version and time limits at that time count, as with any task that waits."""
    make(api.http, task={"name": "diagnostics.echo", "params": {"value": 1}, "tags": ["t", "t"], "max_attempts": 7})
    with api.engine.connect() as conn:
        row = conn.execute(sa.text("SELECT task, task_bytes FROM schedule")).one()
    assert (row.task["tags"], row.task["max_attempts"], row.task["version"]) == (["t"], 7, 1)
    assert "schedule_id" not in row.task
    assert row.task_bytes > 0
