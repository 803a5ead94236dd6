"""Selection runs over HTTP: started, listed and read while their tasks are there, and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.tasks import Cancelled, Failed, Fault, Outcome, RetryIn, Succeeded
from taskyard.store.selection_runs import MAX_MESSAGE, MAX_MESSAGES, Kind
from taskyard_api import selection_run_models as models
from tests.integration.api.conftest import Api
from tests.integration.api.worker import Worker
from tests.support.selection_specs import BODIES, IN_ENGLISH, IN_GERMAN, QUEUES, register

PATH = "/api/v1/selection-runs"
SELECT = {"kind": "run_select", **BODIES[Kind.RUN_SELECT]}
INFEASIBLE = Fault(
    "quotas_infeasible", IN_ENGLISH, "TaskError", retryable=False, values={"needed": 12, "found": 9}
)


@pytest.fixture
def api(engine: Engine, start_api: Callable[..., Api]) -> Api:
    register(engine)
    return start_api(registered=False)


@pytest.fixture
def worker(api: Api) -> Worker:
    return Worker(api.engine)


def start(client: httpx.Client, body: dict[str, Any] = SELECT, **more: Any) -> str:
    answer = client.post(PATH, json={**body, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def read(api: Api, run: str, **headers: str) -> dict[str, Any]:
    answer = api.http.get(f"{PATH}/{run}", headers=headers)
    assert answer.status_code == 200, answer.text
    models.SelectionRun.model_validate_json(answer.content)
    return dict(answer.json())


def ids(api: Api, **query: Any) -> list[str]:
    answer = api.http.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    models.SelectionRunPage.model_validate_json(answer.content)
    return [run["id"] for run in answer.json()["items"]]


def remove_task(api: Api, run: str) -> None:
    """As the archive does: the task, then what belongs to it."""
    with api.engine.begin() as conn:
        gone = conn.execute(sa.text("DELETE FROM task WHERE id = :id"), {"id": UUID(run)})
        assert gone.rowcount == 1
        for table in ("task_event", "task_attempt", "task_progress"):
            conn.execute(sa.text(f"DELETE FROM {table} WHERE task_id = :id"), {"id": UUID(run)})  # noqa: S608


@pytest.mark.parametrize("kind", Kind)
def test_a_run_is_accepted_as_a_task_with_the_same_id(api: Api, kind: Kind) -> None:
    answer = api.http.post(PATH, json={"kind": kind, **BODIES[kind], "tags": ["assembly-7"]})
    assert answer.status_code == 202, answer.text
    run = answer.json()
    models.AcceptedSelectionRun.model_validate_json(answer.content)
    assert answer.headers["Location"] == f"{PATH}/{run['id']}"
    assert run == {
        "id": run["id"],
        "task_id": run["id"],
        "kind": kind,
        "status": "PENDING",
        "progress_percentage": 0.0,
        "log_messages": [],
        "error_message": None,
        "error_code": None,
        "support_url": None,
        "created_at": run["created_at"],
        "completed_at": None,
        "result": None,
    }
    assert read(api, run["id"]) == run
    task = api.http.get(f"/api/v1/tasks/{run['task_id']}").json()
    assert (task["name"], task["queue"], task["params"]) == (f"selection.{kind}", "selection", BODIES[kind])
    assert task["tags"] == ["assembly-7"]


def test_a_run_is_followed_from_its_start_to_its_end(api: Api, worker: Worker) -> None:
    run = start(api.http)
    worker.begin(run)
    worker.note(run, "Reading the people", "stage")
    worker.progress(run, 1, 4, "Reading the people")
    worker.note(run, "200 people")
    assert read(api, run) | {"created_at": 0} == {
        **dict.fromkeys(("error_message", "error_code", "support_url", "completed_at", "result")),
        **{"id": run, "task_id": run, "kind": "run_select", "status": "RUNNING", "progress_percentage": 25},
        **{"log_messages": ["Reading the people", "200 people"], "created_at": 0},
    }
    worker.end(run, Succeeded({"selected_count": 2}))
    ended = read(api, run)
    assert (ended["status"], ended["progress_percentage"]) == ("COMPLETED", 100)
    assert ended["result"] == {"selected_count": 2}
    assert ended["completed_at"] >= ended["created_at"]


OUTCOMES: dict[str, Outcome | None] = {
    "PENDING": None,
    "RUNNING": None,
    "COMPLETED": Succeeded({"selected_count": 2}),
    "FAILED": Failed(INFEASIBLE),
    "CANCELLED": Cancelled(),
}


def runs_in_each_status(api: Api, worker: Worker) -> dict[str, str]:
    runs = {status: start(api.http) for status in OUTCOMES}
    for status, outcome in OUTCOMES.items():
        if status != "PENDING":
            worker.begin(runs[status])
            worker.progress(runs[status], 1, 4, "Drawing")
            worker.note(runs[status], "Drawing", "stage")
            worker.note(runs[status], f"{status} it will be")
        if outcome is not None:
            worker.end(runs[status], outcome)
    return runs


def test_a_record_reads_the_same_after_its_task_is_gone(api: Api, worker: Worker) -> None:
    runs = runs_in_each_status(api, worker)
    final = {status: run for status, run in runs.items() if status not in {"PENDING", "RUNNING"}}
    before = {status: read(api, run) for status, run in final.items()}
    assert {status: run["status"] for status, run in before.items()} == {status: status for status in final}
    assert before["FAILED"]["log_messages"] == ["Drawing", "FAILED it will be"]
    assert [before[status]["progress_percentage"] for status in final] == [100, 25, 25]
    listed = api.http.get(PATH).json()
    for run in final.values():
        remove_task(api, run)
        assert api.http.get(f"/api/v1/tasks/{run}").status_code == 404
    assert {status: read(api, run) for status, run in final.items()} == before
    assert api.http.get(PATH).json() == listed
    for status, run in runs.items():
        assert ids(api, status=status) == [run]


def test_a_failure_is_told_in_the_readers_language_also_after_its_task_is_gone(api: Api, worker: Worker) -> None:
    run = start(api.http)
    worker.begin(run)
    worker.end(run, Failed(INFEASIBLE))
    german = {"Accept-Language": "de-CH"}
    for _ in range(2):
        answer = api.http.get(f"{PATH}/{run}", headers=german)
        assert (answer.json()["error_message"], answer.headers["Content-Language"]) == (IN_GERMAN, "de")
        assert api.http.get(PATH, headers=german).json()["items"][0]["error_message"] == IN_GERMAN
        english = read(api, run)
        assert (english["error_code"], english["error_message"]) == ("quotas_infeasible", IN_ENGLISH)
        assert english["support_url"] == "https://support.example.org"
        if api.count_tasks():
            remove_task(api, run)


def test_the_newest_messages_are_kept_and_long_ones_are_cut(api: Api, worker: Worker) -> None:
    run = start(api.http)
    worker.begin(run)
    for n in range(MAX_MESSAGES + 5):
        worker.note(run, f"{n} " + "x" * 2 * MAX_MESSAGE)
    worker.note(run, "")
    worker.end(run)
    for _ in range(2):
        messages = read(api, run)["log_messages"]
        assert len(messages) == MAX_MESSAGES
        assert [m.split()[0] for m in messages] == [str(n) for n in range(5, MAX_MESSAGES + 5)]
        assert {len(m) for m in messages} == {MAX_MESSAGE}
        if api.count_tasks():
            remove_task(api, run)


def test_a_run_that_waits_for_another_attempt_is_pending_and_says_why(api: Api, worker: Worker) -> None:
    run = start(api.http)
    worker.begin(run)
    worker.end(run, RetryIn(INFEASIBLE, timedelta(seconds=60)))
    waiting = read(api, run)
    assert (waiting["status"], waiting["error_message"], waiting["completed_at"]) == ("PENDING", IN_ENGLISH, None)


def test_a_run_is_cancelled_and_retried_by_its_task(api: Api, worker: Worker) -> None:
    run = start(api.http)
    assert api.http.post(f"/api/v1/tasks/{run}/cancel").status_code == 202
    assert read(api, run)["status"] == "CANCELLED"
    assert api.http.post(f"/api/v1/tasks/{run}/retry").status_code == 202
    again = read(api, run)
    assert (again["status"], again["completed_at"], again["progress_percentage"]) == ("PENDING", None, 0)
    worker.begin(run)
    worker.end(run, Failed(INFEASIBLE))
    assert api.http.post(f"/api/v1/tasks/{run}/retry").status_code == 202
    again = read(api, run)
    assert (again["status"], again["error_message"], again["error_code"]) == ("PENDING", None, None)
    assert ids(api, status="FAILED") == []
