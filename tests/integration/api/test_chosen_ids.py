"""A caller may choose a task's id: it is taken once, whatever happens to the request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import Engine

from taskyard.domain.errors import IdTaken, LedgerUnavailable
from taskyard.domain.ids import child_id, new_id
from taskyard.lifecycle import committed
from taskyard.lifecycle import submit as submitting
from taskyard.store import ledger
from taskyard_api import submission
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker
from tests.integration.lifecycle.rows import new

ECHO: dict[str, Any] = {"name": "diagnostics.echo", "params": {"value": 1}}


def post(api: Api, body: dict[str, Any], path: str = "/api/v1/tasks", **headers: str) -> httpx.Response:
    return api.http.post(path, json=body, headers=headers)


@pytest.mark.parametrize("chosen", [str(uuid4()), str(new_id()), str(uuid4()).upper()], ids=["v4", "v7", "capitals"])
def test_a_task_has_the_id_that_its_caller_chose(api: Api, chosen: str) -> None:
    answer = post(api, {**ECHO, "id": chosen})
    assert answer.status_code == 202
    assert answer.json()["id"] == chosen.lower()
    assert answer.headers["Location"].endswith(chosen.lower())
    assert "Idempotency-Replayed" not in answer.headers
    assert api.http.get(f"/api/v1/tasks/{chosen}").json()["params"] == {"value": 1}


@pytest.mark.parametrize("bad", ["order-7", "", 7, "{01890000-0000-7000-8000-000000000000}", "0" * 32])
def test_an_id_that_is_no_uuid_is_refused(api: Api, bad: Any) -> None:
    answer = post(api, {**ECHO, "id": bad})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/id"]


def test_an_id_that_is_taken_is_answered_with_the_task(api: Api) -> None:
    first = api.submit(tags=["first"])
    answer = post(api, {**ECHO, "params": {"value": 2}, "id": first["id"]})
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "id_taken"
    assert problem["task"]["id"] == first["id"]
    assert problem["task"]["tags"] == ["first"]
    assert problem["task"]["params"] == {"value": 1}
    assert api.count_tasks() == 1


def test_the_task_is_told_as_the_caller_may_see_it(api: Api) -> None:
    first = api.submit()
    without_read = api.client(api.key("submit"))
    told = without_read.post("/api/v1/tasks", json={**ECHO, "id": first["id"]}).json()
    assert "params" not in told["task"]
    elsewhere = api.client(api.key("submit", "read", queues=["low_priority"]))
    body = {**ECHO, "queue": "low_priority", "id": first["id"]}
    answer = elsewhere.post("/api/v1/tasks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "id_taken")
    assert "task" not in answer.json()


def test_an_id_is_taken_once_by_many_at_once(api: Api) -> None:
    """Also of those that are committed together."""
    ids = [str(uuid4()) for _ in range(10)]
    bodies = [{**ECHO, "params": {"value": n}, "id": ids[n % 10]} for n in range(80)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(partial(post, api), bodies))
    won = [a.json() for a in answers if a.status_code == 202]
    lost = [a.json() for a in answers if a.status_code == 409]
    assert sorted(task["id"] for task in won) == sorted(ids)
    assert len(lost) == 70
    by_id = {task["id"]: task["params"] for task in won}
    assert all(problem["task"]["params"] == by_id[problem["task"]["id"]] for problem in lost)


def test_a_batch_with_a_taken_id_is_refused_as_a_whole(api: Api) -> None:
    first = api.submit()
    batch = {"tasks": [ECHO, {**ECHO, "id": first["id"]}]}
    assert post(api, batch, "/api/v1/tasks/batch").status_code == 409
    assert api.count_tasks() == 1
    chosen = str(uuid4())
    twice = post(api, {"tasks": [{**ECHO, "id": chosen}, {**ECHO, "id": chosen}]}, "/api/v1/tasks/batch")
    assert twice.status_code == 422
    assert [error["pointer"] for error in twice.json()["errors"]] == ["/tasks/1/id"]


def test_a_taken_id_takes_neither_the_idempotency_key_nor_the_unique_key(api: Api) -> None:
    unique = {"key": "u", "while": "active"}
    first = api.submit(unique=unique)
    lost = post(api, {**ECHO, "id": first["id"], "unique": {**unique, "key": "v"}}, **{"Idempotency-Key": "k"})
    assert lost.json()["code"] == "id_taken"
    held = post(api, {**ECHO, "unique": unique})
    assert (held.json()["code"], held.json()["task_id"]) == ("not_unique", first["id"])
    assert post(api, {**ECHO, "unique": {**unique, "key": "v"}}, **{"Idempotency-Key": "k"}).status_code == 202


def test_a_repeat_with_its_idempotency_key_gets_the_first_answer(api: Api) -> None:
    body = {**ECHO, "id": str(uuid4())}
    first, again = (post(api, body, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_commit_whose_answer_got_lost_is_not_refused_for_its_own_task(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[bool] = []

    def losing(*arguments: Any, **more: Any) -> Any:
        done = committed.commit(*arguments, **more)
        if not lost:
            lost.append(True)
            raise LedgerUnavailable("the answer got lost")
        return done

    monkeypatch.setattr(submission, "commit", losing)
    answer = post(api, {**ECHO, "id": str(uuid4())})
    assert lost
    assert answer.status_code == 202, answer.text
    assert "Idempotency-Replayed" not in answer.headers
    assert api.count_tasks() == 1


def test_the_id_of_a_child_cannot_be_taken_in_advance(api: Api, engine: Engine) -> None:
    """Its id follows from the parent's and its key: a task of a stranger must not pass for it."""
    worker = Worker(engine)
    parent = worker.begin(api.submit()["id"])
    child = child_id(parent, "key")
    assert post(api, {**ECHO, "id": str(child)}).status_code == 202
    write = partial(
        submitting.submit_children,
        tasks=[new(id=child, parent_id=parent)],
        parent_id=parent,
        claim=worker.claims[parent],
    )
    with pytest.raises(IdTaken):
        ledger.run_transaction(engine, write)


def test_a_refused_request_leaves_nothing_behind(api: Api, database_url: str) -> None:
    first = api.submit()
    for _ in range(3):
        assert post(api, {**ECHO, "id": first["id"]}).status_code == 409
    with psycopg.connect(database_url.replace("+psycopg", "")) as conn:
        assert conn.execute("SELECT count(*) FROM idempotency_key").fetchone() == (0,)
        assert conn.execute("SELECT id FROM task").fetchall() == [(UUID(first["id"]),)]
