"""Every change by a key is a row in an append-only table: who, what, when, from where."""

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from taskyard.lifecycle.retry import retry_task
from taskyard.store import audit
from taskyard_api.resources import task_actions
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker

BIN = Path(sys.executable).parent / "taskyard-api"


def rows(api: Api, **query: Any) -> list[dict[str, Any]]:
    answer = api.http.get("/api/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def keys(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
    env |= {"TASKYARD_DATABASE_URL": database_url, "USER": "somebody-else", "LOGNAME": "somebody-else"}
    return subprocess.run(
        [str(BIN), "keys", *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_cancel_and_a_retry_say_who_what_when_and_from_where(api: Api) -> None:
    task = api.submit()
    ops = api.client(api.key("manage", "read", name="ops"))
    before = datetime.now(UTC)
    cancelled = ops.post(f"/api/v1/tasks/{task['id']}/cancel", headers={"X-Request-ID": "my-request"})
    retried = ops.post(f"/api/v1/tasks/{task['id']}/retry")
    assert (cancelled.status_code, retried.status_code) == (202, 202)
    second, first = rows(api)
    assert (first["action"], second["action"]) == ("task.cancel", "task.retry")
    assert first["target"] == {"type": "task", "id": task["id"]}
    assert first["details"] == {
        "name": "diagnostics.echo",
        "queue": "default",
        "state": "cancelled",
        "before": "queued",
    }
    assert second["details"]["state"] == "queued"
    assert (first["actor"], first["address"], first["request_id"]) == ("ops", "127.0.0.1", "my-request")
    with api.engine.connect() as conn:
        key_id = conn.execute(sa.text("SELECT id FROM api_key WHERE name = 'ops'")).scalar_one()
    assert UUID(first["api_key_id"]) == key_id
    assert abs(datetime.fromisoformat(first["at"]) - before) < timedelta(seconds=30)


def test_a_row_names_the_person_whom_the_key_was_used_for(api: Api) -> None:
    ops = api.client(api.key("manage", "read", name="console"))
    for name, sent in (("Zoë Ágnes", "Zo%C3%AB%20%C3%81gnes"), ("anna@example.org", "anna@example.org"), (None, None)):
        headers = {} if sent is None else {"X-On-Behalf-Of": sent}
        assert ops.post(f"/api/v1/tasks/{api.submit()['id']}/cancel", headers=headers).status_code == 202
        row = rows(api)[0]
        assert (row["actor"], row["on_behalf_of"]) == ("console", name)
    wrong: Any
    for wrong in ("", "a" * 129, "%0A", "%ff", "%zz", "a%0db", b"Zo\xc3\xab"):
        refused = ops.post(f"/api/v1/tasks/{api.submit()['id']}/cancel", headers={"X-On-Behalf-Of": wrong})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "X-On-Behalf-Of"), wrong
    assert len(rows(api)) == 3
    # It gives no rights.
    reader = api.client(api.key("read"))
    answer = reader.post(f"/api/v1/tasks/{api.submit()['id']}/cancel", headers={"X-On-Behalf-Of": "admin"})
    assert answer.status_code == 403


def test_refused_calls_and_calls_without_effect_leave_no_row(api: Api) -> None:
    task = api.submit()["id"]
    running = api.submit()["id"]
    Worker(api.engine).begin(running)
    reader = api.client(api.key("read"))
    elsewhere = api.client(api.key("manage", queues=["low_priority"]))
    assert api.http.post(f"/api/v1/tasks/{task}/retry").status_code == 409
    assert reader.post(f"/api/v1/tasks/{task}/cancel").status_code == 403
    assert elsewhere.post(f"/api/v1/tasks/{task}/cancel").status_code == 404
    assert api.http.delete(f"/api/v1/tree-items/{task}").status_code == 404
    assert rows(api) == []
    for status in (202, 202):  # the second request to cancel a running task changes nothing
        assert api.http.post(f"/api/v1/tasks/{running}/cancel").status_code == status
    for status in (202, 409):
        assert api.http.post(f"/api/v1/tasks/{task}/cancel").status_code == status
    assert [row["target"]["id"] for row in rows(api)] == [task, running]


def test_descendants_cancelled_with_a_task_are_named_in_its_row(api: Api) -> None:
    parent, child = (api.submit()["id"] for _ in range(2))
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE task SET parent_id = :parent WHERE id = :id"), {"parent": parent, "id": child})
    assert api.http.post(f"/api/v1/tasks/{parent}/cancel").status_code == 202
    (row,) = rows(api)
    assert (row["target"]["id"], row["details"]["followed"]) == (parent, [child])


def test_a_repeat_under_its_idempotency_key_is_one_change(api: Api) -> None:
    task = api.submit()["id"]
    for _ in range(2):
        answer = api.http.post(f"/api/v1/tasks/{task}/cancel", headers={"Idempotency-Key": "k"})
        assert answer.status_code == 202
    assert len(rows(api)) == 1


def test_a_change_and_its_row_are_one_transaction(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    task = api.submit()["id"]
    api.http.post(f"/api/v1/tasks/{task}/cancel")

    def fails_afterwards(conn: Connection, **more: Any) -> None:
        assert retry_task(conn, **more).changes
        raise RuntimeError("after the change")

    monkeypatch.setattr(task_actions, "retry_task", fails_afterwards)
    assert api.http.post(f"/api/v1/tasks/{task}/retry").status_code == 500
    assert [row["action"] for row in rows(api)] == ["task.cancel"]
    assert api.http.get(f"/api/v1/tasks/{task}").json()["state"] == "cancelled"

    monkeypatch.undo()
    monkeypatch.setattr(audit, "_RECORD", sa.text("SELECT 1 / 0"))
    assert api.http.post(f"/api/v1/tasks/{task}/retry").status_code == 500
    assert api.http.get(f"/api/v1/tasks/{task}").json()["state"] == "cancelled"


def test_a_deleted_item_is_recorded_with_its_name_and_content(api: Api) -> None:
    made = api.http.post("/api/v1/tree-items", content=b"hello", headers={"X-Filename": "a.txt"})
    item = made.json()
    assert rows(api) == []  # uploads, like submits, leave no row
    assert api.http.delete(made.headers["Location"]).status_code == 204
    (row,) = rows(api)
    assert (row["action"], row["target"]) == ("tree_item.delete", {"type": "tree_item", "id": item["item_id"]})
    assert row["details"] == {"name": "a.txt", "size": 5, "sha256": item["sha256"]}


def test_keys_made_and_revoked_at_the_command_line_name_the_account_and_the_host(api: Api, database_url: str) -> None:
    made = keys(database_url, "create", "--name", "ci", "--scope", "read", "--queue", "default")
    assert made.returncode == 0, made.stderr
    assert keys(database_url, "revoke", "ci").returncode == 0
    assert keys(database_url, "revoke", "ci").returncode == 1
    assert keys(database_url, "create", "--name", "ci", "--scope", "read").returncode == 1
    revoked, created = rows(api)
    account = pwd.getpwuid(os.getuid()).pw_name
    for row, action in ((revoked, "key.revoke"), (created, "key.create")):
        assert (row["action"], row["target"]) == (action, {"type": "key", "id": "ci"})
        # As the kernel knows it, not as the environment says.
        assert row["actor"] == f"cli:{account}@{socket.gethostname()}"
        assert (row["api_key_id"], row["address"], row["request_id"]) == (None, None, None)
    assert created["details"]["scopes"] == ["read"]
    assert created["details"]["queues"] == ["default"]
    assert made.stdout.strip() not in str(created)


def test_a_proxy_is_believed_only_from_a_trusted_address(start_api: Callable[..., Api]) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    for trusted, address in (("", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")):
        api = start_api(trusted_proxies=trusted)
        task = api.submit()["id"]
        assert api.http.post(f"/api/v1/tasks/{task}/cancel", headers=forwarded).status_code == 202
        (row,) = rows(api, target=task)
        assert row["address"] == address


def test_the_log_is_filtered_and_paged(api: Api) -> None:
    ops = api.client(api.key("manage", name="ops"))
    ids = [api.submit()["id"] for _ in range(3)]
    for task in ids:
        api.http.post(f"/api/v1/tasks/{task}/cancel")
    for task in ids[:2]:
        ops.post(f"/api/v1/tasks/{task}/retry")
    assert [r["target"]["id"] for r in rows(api, action="task.cancel")] == ids[::-1]
    assert [r["target"]["id"] for r in rows(api, actor="ops")] == [ids[1], ids[0]]
    assert rows(api, actor="ops", action="task.cancel") == []
    assert [r["action"] for r in rows(api, target=ids[0])] == ["task.retry", "task.cancel"]
    whole = rows(api)
    middle = whole[2]["at"]
    assert rows(api, after=middle) == whole[:3]
    assert rows(api, before=middle) == whole[3:]
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = api.http.get("/api/v1/audit", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["items"]) == 2
    assert seen == whole


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("action=task.explode", "?action"),
        ("actor=", "?actor"),
        ("target=" + "x" * 201, "?target"),
        ("after=yesterday", "?after"),
        ("before=2026-01-31T12:00:00", "?before"),
        ("limit=0", "?limit"),
        ("cursor=nonsense", "?cursor"),
        ("who=me", "?who"),
        ("actor=%00", "?actor"),
    ],
)
def test_errors_in_a_query_are_named(api: Api, query: str, pointer: str) -> None:
    answer = api.http.get(f"/api/v1/audit?{query}")
    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]


def test_only_an_admin_of_all_queues_reads_it(api: Api) -> None:
    def ask(key: str) -> httpx.Response:
        return api.client(key).get("/api/v1/audit")

    for scope in ("read", "submit", "manage"):
        assert ask(api.key(scope)).json()["code"] == "missing_scope"
    assert ask(api.key("admin", queues=["default"])).json()["code"] == "queue_not_allowed"
    assert ask(api.key("admin")).status_code == 200


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"])
def test_postgresql_refuses_to_change_or_delete_rows(engine: Engine, statement: str) -> None:
    with engine.connect() as conn:
        audit.record(conn, audit.Actor("ops"), audit.Action.TASK_CANCEL, "x")
        with pytest.raises(ProgrammingError, match="append-only"):
            conn.execute(sa.text(statement))
        assert conn.execute(sa.text("SELECT actor FROM audit")).scalars().all() == ["ops"]
