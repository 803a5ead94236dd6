"""Users over HTTP: written under ids of the caller's own, read with profile and statistics, welcomed by mail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from taskyard.domain.ids import new_id
from taskyard.store import ledger, users
from taskyard_api import user_models
from tests.integration.api.conftest import Api
from tests.support.specs import register_worker, spec_named

PATH = "/api/v1/users"
EVA = {"email": "eva@example.org", "name": "Eva"}


def registered(http: httpx.Client) -> str:
    return str(http.post("/api/v1/webhook-endpoints", json={"url": "https://receiver.example/hooks"}).json()["id"])


def audited(api: Api) -> list[dict[str, Any]]:
    found = api.http.get("/api/v1/audit").json()["items"]
    return [row for row in found if row["action"].startswith("user.")]


def test_a_user_is_written_and_read_with_profile_and_statistics(api: Api) -> None:
    made = api.http.put(f"{PATH}/7", json=EVA)
    assert (made.status_code, made.headers["Location"]) == (201, f"{PATH}/7")
    user_models.User.model_validate_json(made.content)
    assert made.json() | {"created_at": 0, "updated_at": 0} == {
        **EVA,
        "user_id": 7,
        "webhook_endpoint_id": None,
        "created_at": 0,
        "updated_at": 0,
        "profile": None,
        "statistics": {"login_count": 0, "last_activity": None},
    }
    task = new_id()
    profile = ledger.run_transaction(api.engine, lambda conn: users.create_profile(conn, 7, task))
    ledger.run_transaction(api.engine, lambda conn: users.count_activity(conn, 7, task))
    read = api.http.get(f"{PATH}/7")
    assert read.status_code == 200
    user_models.User.model_validate_json(read.content)
    assert profile is not None
    assert read.json()["profile"]["profile_id"] == str(profile.id)
    assert read.json()["statistics"]["login_count"] == 1


def test_a_user_is_replaced_as_a_whole_and_keeps_what_tasks_wrote(api: Api) -> None:
    endpoint = registered(api.http)
    made = api.http.put(f"{PATH}/7", json={**EVA, "webhook_endpoint_id": endpoint}).json()
    assert made["webhook_endpoint_id"] == endpoint
    ledger.run_transaction(api.engine, lambda conn: users.count_activity(conn, 7, new_id()))
    again = api.http.put(f"{PATH}/7", json={**EVA, "name": "Éva"})
    assert (again.status_code, again.headers.get("Location")) == (200, None)
    assert again.json()["name"] == "Éva"
    assert again.json()["webhook_endpoint_id"] is None
    assert again.json()["created_at"] == made["created_at"]
    assert again.json()["updated_at"] > made["updated_at"]
    assert again.json()["statistics"]["login_count"] == 1


def test_a_repeat_changes_nothing(api: Api) -> None:
    made = api.http.put(f"{PATH}/7", json=EVA).json()
    again = api.http.put(f"{PATH}/7", json=EVA)
    assert (again.status_code, again.json()) == (200, made)
    assert len(audited(api)) == 1


def test_changes_are_audited_without_what_is_personal(api: Api) -> None:
    api.http.put(f"{PATH}/7", json=EVA)
    api.http.put(f"{PATH}/7", json={**EVA, "email": "other@example.org"})
    changed, created = audited(api)
    assert (created["action"], created["target"]) == ("user.create", {"type": "user", "id": "7"})
    assert (changed["action"], changed["details"]) == ("user.change", {"changed": ["email"]})
    assert "example.org" not in str([changed, created])


def test_callers_that_write_a_new_user_at_once_make_one(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: api.http.put(f"{PATH}/7", json={**EVA, "name": f"Eva {n}"}), range(24)))
    assert sorted(answer.status_code for answer in answers) == [200] * 23 + [201]


@pytest.mark.parametrize("spelled", ["0", "-1", "007", "7.0", "+7", "seven", "%D9%A7", str(2**53), "9" * 40, "7%20"])
def test_an_id_that_is_none_is_404(api: Api, spelled: str) -> None:
    api.http.put(f"{PATH}/7", json=EVA)
    assert api.http.put(f"{PATH}/{spelled}", json=EVA).status_code == 404
    assert api.http.get(f"{PATH}/{spelled}").status_code == 404


def test_the_largest_id_comes_back_as_it_was_given(api: Api) -> None:
    assert api.http.put(f"{PATH}/{2**53 - 1}", json=EVA).json()["user_id"] == 2**53 - 1
    assert api.http.get(f"{PATH}/{2**53 - 1}").json()["user_id"] == 2**53 - 1


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"email": "eva"}, "/email"),
        ({"email": "a@example.org\r\nBcc: b@example.org"}, "/email"),
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "a\x00"}, "/name"),
        ({"webhook_endpoint_id": str(uuid4())}, "/webhook_endpoint_id"),
        ({"webhook_endpoint_id": 7}, "/webhook_endpoint_id"),
        ({"login_count": 1}, "/login_count"),
    ],
)
def test_a_wrong_user_is_422_with_the_place_and_not_written(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    answer = api.http.put(f"{PATH}/7", json={**EVA, **wrong})
    assert (answer.status_code, [e["pointer"] for e in answer.json()["errors"]]) == (422, [pointer])
    assert api.http.get(f"{PATH}/7").status_code == 404


def test_an_endpoint_that_is_no_id_is_not_called_a_task(api: Api) -> None:
    problem = api.http.put(f"{PATH}/7", json={**EVA, "webhook_endpoint_id": "hook"}).json()
    assert problem["detail"] == "`webhook_endpoint_id` must be a UUID with hyphens"


def test_a_user_loses_an_endpoint_that_is_deleted(api: Api) -> None:
    endpoint = registered(api.http)
    api.http.put(f"{PATH}/7", json={**EVA, "webhook_endpoint_id": endpoint})
    assert api.http.delete(f"/api/v1/webhook-endpoints/{endpoint}").status_code == 204
    assert api.http.get(f"{PATH}/7").json()["webhook_endpoint_id"] is None


def test_each_call_needs_its_scope(api: Api) -> None:
    api.http.put(f"{PATH}/7", json=EVA)
    for scope in ("read", "submit", "manage"):
        client = api.client(api.key(scope))
        allowed = {
            "read": client.get(f"{PATH}/7").status_code == 200,
            "manage": client.put(f"{PATH}/7", json=EVA).status_code == 200,
            "submit": client.post("/api/v1/send-welcome", json={"user_id": 7}).status_code == 202,
        }
        assert [name for name, is_allowed in allowed.items() if is_allowed] == [scope]


def test_a_welcome_is_a_task_with_the_users_address_and_name(api: Api) -> None:
    api.http.put(f"{PATH}/7", json=EVA)
    queued = api.http.post("/api/v1/send-welcome", json={"user_id": 7})
    assert queued.status_code == 202
    user_models.WelcomeQueued.model_validate_json(queued.content)
    assert queued.json() | {"task_id": 0} == {"task_id": 0, "message": "Welcome email queued", "status": "PENDING"}
    task = api.http.get(f"/api/v1/tasks/{queued.json()['task_id']}").json()
    assert task["name"] == "email.send_welcome"
    assert (task["params"]["to_email"], task["params"]["username"]) == ("eva@example.org", "Eva")


@pytest.mark.parametrize("name", ["x" * 100, "Ünal d'Ørsted <b>", " Eva "])
def test_every_user_that_is_taken_can_be_welcomed(api: Api, name: str) -> None:
    email = f"{'a' * 64}@{'b' * 60}.example.org"
    assert api.http.put(f"{PATH}/7", json={"email": email, "name": name}).status_code == 201
    assert api.http.post("/api/v1/send-welcome", json={"user_id": 7}).status_code == 202


def test_a_welcome_with_an_idempotency_key_is_sent_once(api: Api) -> None:
    api.http.put(f"{PATH}/7", json=EVA)
    key = {"Idempotency-Key": "welcome-7"}
    first, again = (api.http.post("/api/v1/send-welcome", json={"user_id": 7}, headers=key) for _ in range(2))
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert api.count_tasks() == 1
    api.http.put(f"{PATH}/8", json=EVA)
    reused = api.http.post("/api/v1/send-welcome", json={"user_id": 8}, headers=key)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


def test_an_unknown_user_is_not_welcomed(api: Api) -> None:
    assert api.http.post("/api/v1/send-welcome", json={"user_id": 7}).status_code == 404
    assert api.http.post("/api/v1/send-welcome", json={"user_id": 0}).status_code == 422
    assert api.count_tasks() == 0


def test_a_welcome_without_a_worker_that_has_the_type_is_503(start_api: Any) -> None:
    api = start_api(registered=False)
    register_worker(api.engine, spec_named("own.report"))
    api.http.put(f"{PATH}/7", json=EVA)
    answer = api.http.post("/api/v1/send-welcome", json={"user_id": 7})
    assert (answer.status_code, answer.json()["code"]) == (503, "type_not_registered")


def test_a_restricted_key_sees_changes_and_welcomes_its_own_users_only(api: Api) -> None:
    scopes = ("read", "submit", "manage")
    mine = api.client(api.key(*scopes, queues=["default"], name="mine"))
    other = api.client(api.key(*scopes, queues=["default"], name="other"))
    for client, user in ((mine, 1), (other, 2), (api.http, 3)):
        assert client.put(f"{PATH}/{user}", json=EVA).status_code == 201
    missing = mine.get(f"{PATH}/9").json()
    for user in (2, 3):
        read = mine.get(f"{PATH}/{user}")
        assert (read.status_code, read.json() | {"request_id": ""}) == (404, missing | {"request_id": ""})
        assert mine.put(f"{PATH}/{user}", json={**EVA, "name": "stolen"}).status_code == 404
        assert mine.post("/api/v1/send-welcome", json={"user_id": user}).status_code == 404
        assert api.http.get(f"{PATH}/{user}").json()["name"] == "Eva"
    assert mine.get(f"{PATH}/1").status_code == 200
    assert mine.post("/api/v1/send-welcome", json={"user_id": 1}).status_code == 202
    assert api.http.put(f"{PATH}/1", json={**EVA, "name": "Éva"}).status_code == 200, "unrestricted keys see all"
    assert mine.get(f"{PATH}/1").json()["name"] == "Éva", "it still belongs to the key that wrote it first"


def test_a_restricted_key_gives_its_users_its_own_endpoints_only(api: Api) -> None:
    client = api.client(api.key("read", "manage", queues=["default"]))
    for endpoint, status in ((registered(api.http), 422), (registered(client), 201)):
        assert client.put(f"{PATH}/7", json={**EVA, "webhook_endpoint_id": endpoint}).status_code == status


def test_a_restricted_key_welcomes_only_where_it_may_submit(api: Api) -> None:
    client = api.client(api.key("manage", "submit", queues=["low_priority"]))
    client.put(f"{PATH}/7", json=EVA)
    answer = client.post("/api/v1/send-welcome", json={"user_id": 7})
    assert (answer.status_code, answer.json()["code"]) == (403, "queue_not_allowed")


def test_a_key_without_read_is_told_no_address(api: Api) -> None:
    client = api.client(api.key("manage", "submit"))
    for status in (201, 200):
        put = client.put(f"{PATH}/7", json=EVA)
        assert put.status_code == status
        user_models.ToldUser.model_validate_json(put.content)
    welcomed = client.post("/api/v1/send-welcome", json={"user_id": 7})
    assert welcomed.status_code == 202
    assert "example.org" not in welcomed.text
    with api.engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM task")).scalar_one() == 1


def test_erasing_submits_the_task_that_does_it_and_audits_it_without_what_is_personal(api: Api) -> None:
    api.http.put(f"{PATH}/7", json=EVA)
    answer = api.http.delete(f"{PATH}/7")
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/v1/tasks/{answer.json()['task_id']}")
    user_models.Erasing.model_validate_json(answer.content)
    task = api.http.get(answer.headers["Location"]).json()
    assert (task["name"], task["params"]) == ("users.erase", {"user_id": 7, "dry_run": False})
    row = audited(api)[0]
    assert (row["action"], row["target"]) == ("user.erase", {"type": "user", "id": "7"})
    assert row["details"] == {"task_id": task["id"], "dry_run": False}


def test_a_dry_run_of_erasing_is_asked_of_the_task(api: Api) -> None:
    answer = api.http.delete(f"{PATH}/7", params={"dry_run": "true"})
    assert answer.status_code == 202, "also of an id of which no user was written"
    assert answer.json()["message"] == "What is known of the user is being counted."
    assert api.http.get(answer.headers["Location"]).json()["params"] == {"user_id": 7, "dry_run": True}
    assert api.http.delete(f"{PATH}/7", params={"dry_run": "perhaps"}).status_code == 422


def test_a_key_that_is_restricted_to_queues_erases_nobody(api: Api) -> None:
    client = api.client(api.key("read", "submit", "manage", queues=["default"]))
    assert client.put(f"{PATH}/7", json=EVA).status_code == 201
    answer = client.delete(f"{PATH}/7")
    assert (answer.status_code, answer.json()["code"]) == (403, "queue_not_allowed")
    assert client.get(f"{PATH}/7").status_code == 200
    assert api.http.get("/api/v1/tasks", params={"name": "users.erase"}).json()["items"] == []
