"""Attempts that ended with their process, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from taskyard.domain.failures import Cause
from taskyard.lifecycle.rescue import Guilt, Lost, lose
from taskyard_api import crash_models
from taskyard_client import Client
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker


def crash(api: Api, cause: Cause | str, guilt: Guilt = Guilt.GUILTY, **more: Any) -> str:
    worker, task = Worker(api.engine), str(api.submit(**more)["id"])
    found = worker.begin(task)
    with api.engine.connect() as conn:
        lose(conn, [Lost(found, worker.claims[found], guilt, cause, peak_memory_bytes=7)])
    return task


def listed(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/crashes", params=query)
    assert answer.status_code == 200, answer.text
    crash_models.CrashPage.model_validate_json(answer.content)
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_crashes_tell_what_ended_which_attempt_where(api: Api) -> None:
    task = crash(api, Cause("signal", {"signal": "9 (SIGKILL)"}))
    Worker(api.engine).begin(api.submit()["id"])  # runs on
    (told,) = listed(api.http)
    assert (told["task_id"], told["name"], told["attempt"]) == (task, "diagnostics.echo", 1)
    assert told["cause"] == {"code": "signal", "signal": "9 (SIGKILL)", "exit_code": None}
    assert (told["outcome"], told["worker"], told["child"], told["peak_memory_bytes"]) == ("crashed", "w", "0", 7)
    assert "SIGKILL" in told["message"]
    (german,) = api.http.get("/api/v1/crashes", headers={"Accept-Language": "de"}).json()["items"]
    assert german["message"].startswith("Der Prozess")


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (Cause("exit_code", {"code": 3}), {"code": "exit_code", "signal": None, "exit_code": 3}),
        (Cause("worker_lost"), {"code": "worker_lost", "signal": None, "exit_code": None}),
        ("in words", {"code": None, "signal": None, "exit_code": None}),
    ],
)
def test_each_cause_is_told(api: Api, cause: Cause | str, told: dict[str, Any]) -> None:
    crash(api, cause, Guilt.SUSPECT)
    (found,) = listed(api.http)
    assert (found["outcome"], found["cause"]) == ("suspected", told)


def test_they_are_filtered_and_paged(api: Api) -> None:
    tasks = [crash(api, "x", queue=queue) for queue in ("default", "low_priority", "default")]
    assert [c["task_id"] for c in listed(api.http)] == tasks[::-1]
    assert [c["task_id"] for c in listed(api.http, queue="low_priority")] == [tasks[1]]
    assert len(listed(api.http, worker="w", name="diagnostics.echo")) == 3
    assert listed(api.http, worker="x") == listed(api.http, name="email.send") == []
    assert listed(api.http, after="2100-01-01T00:00:00Z") == listed(api.http, before="2020-01-01T00:00:00Z") == []
    first = api.http.get("/api/v1/crashes", params={"limit": 2}).json()
    rest = listed(api.http, cursor=first["next_cursor"])
    assert [c["task_id"] for c in first["items"] + rest] == tasks[::-1]
    restricted = api.client(api.key("read", queues=["low_priority"]))
    assert [c["task_id"] for c in listed(restricted)] == [tasks[1]]
    assert api.client(api.key("submit", "manage")).get("/api/v1/crashes").status_code == 403


def test_the_client_lists_them(api: Api, engine: Engine) -> None:
    task = crash(api, Cause("exit_code", {"code": 3}))
    with Client(api.url, api.key("read")) as client:
        (found,) = client.crashes.items(worker="w")
        assert (str(found.task_id), found.cause.exit_code) == (task, 3)
        assert client.crashes.page(limit=1).next_cursor is None
