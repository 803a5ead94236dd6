"""A request that is repeated under its idempotency key gets the same answer, and is done once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle import idempotency
from taskyard_api import gate, patience
from taskyard_api.resources import queue_actions
from tests.integration.api.conftest import Api
from tests.support.fleet import wait_for

ECHO: dict[str, Any] = {"name": "diagnostics.echo", "params": {"value": 1}}


def post(api: Api, key: str, body: dict[str, Any] | None = None, path: str = "/api/v1/tasks") -> httpx.Response:
    return api.http.post(path, json=body or ECHO, headers={"Idempotency-Key": key})


def test_a_repeat_gets_the_first_answer(api: Api) -> None:
    first, second = post(api, "k"), post(api, "k")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert first.headers["Location"] == second.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert api.count_tasks() == 1


def test_another_request_under_the_same_key_is_refused(api: Api) -> None:
    post(api, "k")
    for answer in (
        post(api, "k", {**ECHO, "tags": ["other"]}),
        post(api, "k", {"tasks": [ECHO]}, "/api/v1/tasks/batch"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["Idempotency-Key"]
    assert api.count_tasks() == 1


def test_keys_belong_to_an_api_key(api: Api) -> None:
    post(api, "k")
    other = api.client(api.key("submit"))
    answer = other.post("/api/v1/tasks", json=ECHO, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202
    assert "Idempotency-Replayed" not in answer.headers
    assert api.count_tasks() == 2


def test_a_refused_request_does_not_consume_the_key(api: Api) -> None:
    assert post(api, "k", {"name": "nope"}).status_code == 422
    holder = api.submit(unique={"key": "u", "while": "active"})
    body = {**ECHO, "unique": {"key": "u", "while": "active"}}
    assert post(api, "k", body).status_code == 409
    api.http.post(f"/api/v1/tasks/{holder['id']}/cancel")
    assert post(api, "k", body).status_code == 202
    assert post(api, "k", body).headers["Idempotency-Replayed"] == "true"


def test_many_at_once_make_one_task_a_key(api: Api) -> None:
    start = threading.Barrier(16)

    def send(n: int) -> httpx.Response:
        with httpx.Client(base_url=api.url, headers=dict(api.http.headers), timeout=30) as client:
            start.wait(20)
            return client.post("/api/v1/tasks", json=ECHO, headers={"Idempotency-Key": f"k{n % 4}"})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
    assert {a.status_code for a in answers} == {202}
    assert api.count_tasks() == 4
    assert len({a.json()["id"] for a in answers}) == 4
    assert sum("Idempotency-Replayed" in a.headers for a in answers) == 12


def test_many_at_once_with_one_unique_key_make_one_task(api: Api) -> None:
    start = threading.Barrier(12)
    body = {**ECHO, "unique": {"key": "only", "while": "waiting"}}

    def send(_: int) -> httpx.Response:
        with httpx.Client(base_url=api.url, headers=dict(api.http.headers), timeout=30) as client:
            start.wait(20)
            return client.post("/api/v1/tasks", json=body)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(12)))
    won = [a for a in answers if a.status_code == 202]
    assert len(won) == 1
    assert {a.json()["task_id"] for a in answers if a.status_code == 409} == {won[0].json()["id"]}


def test_a_key_past_its_day_may_be_used_again(api: Api) -> None:
    first = post(api, "k")
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE idempotency_key SET created_at = now() - interval '25 hours'"))
    second = post(api, "k", {**ECHO, "tags": ["new"]})
    assert second.status_code == 202
    assert second.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "ü".encode(), b"a\tb"])
def test_invalid_keys_are_refused(api: Api, key: Any) -> None:
    answer = api.http.post("/api/v1/tasks", json=ECHO, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Idempotency-Key"
    assert api.count_tasks() == 0


def test_calls_other_than_submits_are_done_once(api: Api) -> None:
    task = api.submit()
    headers = {"Idempotency-Key": "c"}
    path = f"/api/v1/tasks/{task['id']}/cancel"
    first = api.http.post(path, headers=headers)
    second = api.http.post(path, headers=headers)
    assert first.content == second.content
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert api.http.post(path).status_code == 409
    # A refused request leaves the key free for a retry that succeeds.
    other = api.submit()
    again = f"/api/v1/tasks/{other['id']}/retry"
    assert api.http.post(again, headers={"Idempotency-Key": "r"}).status_code == 409
    api.http.post(f"/api/v1/tasks/{other['id']}/cancel")
    assert api.http.post(again, headers={"Idempotency-Key": "r"}).status_code == 202
    assert api.http.post(again, headers={"Idempotency-Key": "r"}).headers["Idempotency-Replayed"] == "true"


def test_a_repeat_during_the_first_request_is_refused_and_takes_over_an_abandoned_one(api: Api) -> None:
    task = api.submit()
    path = f"/api/v1/tasks/{task['id']}/cancel"
    headers = {"Idempotency-Key": "p"}
    api.http.post(path, headers=headers)
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE idempotency_key SET status = NULL, answer = NULL, headers = NULL"))
    pending = api.http.post(path, headers=headers)
    assert (pending.status_code, pending.json()["code"]) == (409, "idempotency_in_progress")
    with api.engine.connect() as conn:
        conn.execute(sa.text("UPDATE idempotency_key SET created_at = now() - interval '61 seconds'"))
    taken_over = api.http.post(path, headers=headers)
    assert taken_over.json()["code"] == "state_conflict"


def test_a_repeat_gets_its_first_answer_even_when_it_would_be_refused_by_now(api: Api) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=8)
    alone = {**ECHO, "expires_at": soon.isoformat()}
    together = {"tasks": [alone]}
    batch = "/api/v1/tasks/batch"
    first, first_batch = post(api, "k", alone), post(api, "b", together, batch)
    time.sleep((soon - datetime.now(UTC)).total_seconds() + 0.2)
    for before, again in ((first, post(api, "k", alone)), (first_batch, post(api, "b", together, batch))):
        assert (again.status_code, again.content) == (202, before.content)
        assert again.headers["Idempotency-Replayed"] == "true"
    # Another request under the key is refused as before, and so is this one under another key.
    assert post(api, "k", {**alone, "tags": ["other"]}).status_code == 422
    assert post(api, "new", alone).status_code == 422
    assert api.count_tasks() == 2


@contextmanager
def locked(api: Api, statement: str) -> Iterator[None]:
    with api.engine.connect().execution_options(isolation_level="READ COMMITTED") as conn, conn.begin():
        conn.execute(sa.text(statement))
        yield


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait a few seconds for PostgreSQL: long enough to begin what they are cut off from."""

    def begin() -> None:
        patience._of_request.set(patience.Patience(2.5))

    monkeypatch.setattr(gate, "begin_request", begin)


@pytest.mark.usefixtures("hasty")
def test_what_was_done_after_its_time_was_over_is_the_answer_to_a_repeat(api: Api) -> None:
    path = f"/api/v1/tasks/{api.submit()['id']}"
    api.http.post(f"{path}/cancel")
    headers = {"Idempotency-Key": "late"}
    with locked(api, "SELECT FROM task FOR UPDATE"):
        assert api.http.post(f"{path}/retry", headers=headers).json()["code"] == "ledger_unavailable"
    wait_for(lambda: api.http.get(path).json()["state"] == "queued", 10, "the task to be queued all the same")
    repeat = api.http.post(f"{path}/retry", headers=headers)
    assert (repeat.status_code, repeat.headers["Idempotency-Replayed"]) == (202, "true")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("table", ["tree_item", "idempotency_key"])
def test_a_file_that_was_kept_after_the_time_was_over_is_kept_once_with_its_bytes(api: Api, table: str) -> None:
    headers = {"Idempotency-Key": "late", "X-Filename": "a.txt", "Content-Type": "text/plain"}
    with locked(api, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"):
        late = api.http.post("/api/v1/tree-items", content=b"kept", headers=headers)
        assert late.json()["code"] == "ledger_unavailable"

    def items() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.http.get("/api/v1/tree-items").json()["items"]
        return found

    wait_for(lambda: len(items()) == 1, 10, "the file to be kept all the same")
    repeat = api.http.post("/api/v1/tree-items", content=b"kept", headers=headers)
    assert (repeat.status_code, repeat.headers["Idempotency-Replayed"]) == (201, "true")
    (item,) = items()
    assert repeat.json()["item_id"] == item["item_id"]
    assert api.http.get(f"{repeat.headers['Location']}/content").content == b"kept"


def test_work_of_several_transactions_keeps_its_key_where_some_of_it_may_be_done(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the answer got lost")

    purge, headers = "/api/v1/queues/default/purge", {"Idempotency-Key": "p"}
    wait_for(lambda: api.http.get("/api/v1/queues/default").status_code == 200, 10, "the API to make its queues")
    with monkeypatch.context() as patched:
        patched.setattr(queue_actions, "purge", lost)
        assert api.http.post(purge, json={}, headers=headers).status_code == 503
    assert api.http.post(purge, json={}, headers=headers).json()["code"] == "idempotency_in_progress"
    monkeypatch.setattr(idempotency, "keep_answers", lost)
    done = api.http.post(purge, json={}, headers={"Idempotency-Key": "q"})
    assert done.status_code == 200, "what was done is told, though not to a repeat"
