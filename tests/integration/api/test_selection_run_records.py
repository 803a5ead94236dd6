"""Selection runs over HTTP: the records, listed and read while their tasks are there, and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.tasks import Cancelled, Failed, Fault, Outcome, RetryIn, Succeeded
from taskyard.store.selection_runs import MAX_MESSAGE, MAX_MESSAGES, Kind
from tests.integration.api.conftest import Api
from tests.integration.api.selection_runs import PATH, SELECT, ids, read, remove_tasks, start
from tests.integration.api.worker import Worker
from tests.support.selection_specs import BODIES, IN_ENGLISH, IN_GERMAN, QUEUES, register

INFEASIBLE = Fault("quotas_infeasible", IN_ENGLISH, "TaskError", retryable=False, values={"needed": 12, "found": 9})


@pytest.fixture
def api(engine: Engine, start_api: Callable[..., Api]) -> Api:
    register(engine)
    return start_api(registered=False)


@pytest.fixture
def worker(api: Api) -> Worker:
    return Worker(api.engine)


def test_a_run_is_followed_from_its_start_to_its_end(api: Api, worker: Worker) -> None:
    run = start(api.http)
    worker.begin(run)
    worker.note(run, "Reading the people", "stage")
    worker.progress(run, 1, 4, "Reading the people")
    worker.note(run, "200 people")
    assert read(api, run) | {"created_at": 0} == {
        **dict.fromkeys(("error_message", "error_code", "support_url", "completed_at", "result")),
        "id": run,
        "task_id": run,
        "kind": "run_select",
        "status": "RUNNING",
        "progress_percentage": 25,
        "log_messages": ["Reading the people", "200 people"],
        "created_at": 0,
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
    remove_tasks(api, *final.values())
    assert {api.http.get(f"/api/v1/tasks/{run}").status_code for run in final.values()} == {404}
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
            remove_tasks(api, run)


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
            remove_tasks(api, run)


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


def test_a_run_whose_worker_is_lost_is_not_told_to_run(api: Api, worker: Worker) -> None:
    """Nobody rescues it here: the read alone tells."""
    lost, alive = start(api.http), start(api.http)
    other = Worker(api.engine)
    worker.begin(lost)
    other.begin(alive)
    assert read(api, lost)["status"] == "RUNNING"
    silence = "UPDATE worker SET beat_at = now() - CAST(:lease AS interval) - interval '1 ms' WHERE id = :id"
    with api.engine.begin() as conn:
        conn.execute(sa.text(silence), {"id": worker.id, "lease": api.settings.worker_lease})
    assert read(api, lost)["status"] == "PENDING"
    assert read(api, alive)["status"] == "RUNNING"
    assert (ids(api, status="PENDING"), ids(api, status="RUNNING")) == ([lost], [alive])
    assert ids(api) == [alive, lost]


def test_every_task_of_the_types_is_a_run(api: Api) -> None:
    task = api.submit("selection.run_select", params=BODIES[Kind.RUN_SELECT])["id"]
    assert (read(api, task)["kind"], ids(api)) == ("run_select", [task])


def test_a_task_of_another_type_is_no_run(start_api: Callable[..., Api]) -> None:
    api = start_api()
    task = api.submit()["id"]
    assert ids(api) == []
    for other in (task, str(uuid4()), "run-1"):
        answer = api.http.get(f"{PATH}/{other}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such selection run.")


def test_lists_go_page_by_page_newest_first_across_what_is_gone(api: Api, worker: Worker) -> None:
    runs = [start(api.http, {"kind": kind, **BODIES[kind]}) for _ in range(2) for kind in Kind]
    for run in runs[::2]:
        worker.begin(run)
        worker.end(run)
    remove_tasks(api, runs[0], runs[4])
    found: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = api.http.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
        start(api.http)
    assert (found, cursor) == (runs[::-1], None)
    assert ids(api, kind="load_gsheet") == [runs[3], runs[0]]
    assert ids(api, kind="run_select", status="COMPLETED") == [runs[4]]
    assert api.http.get(PATH, params={"kind": "other"}).status_code == 422
    assert api.http.get(PATH, params={"status": "DONE"}).status_code == 422


def test_a_page_is_bounded_by_what_its_runs_tell(api: Api, worker: Worker) -> None:
    runs = [start(api.http) for _ in range(6)]
    for run in runs:
        worker.begin(run)
        worker.end(run, Succeeded({"report": ["x" * 250_000]}))
    remove_tasks(api, runs[5])
    first = api.http.get(PATH).json()
    assert [run["id"] for run in first["items"]] == runs[5:0:-1]
    assert ids(api, cursor=first["next_cursor"]) == runs[:1]


def test_a_restricted_key_sees_its_own_runs_in_its_queues_only(api: Api, worker: Worker) -> None:
    mine = api.client(api.key("read", "submit", queues=[*QUEUES], name="mine"))
    other = api.client(api.key("read", "submit", queues=[*QUEUES], name="other"))
    runs = {client: start(client) for client in (mine, other, api.http)}
    for is_gone in (False, True):
        if is_gone:
            for run in runs.values():
                worker.begin(run)
                worker.end(run)
                remove_tasks(api, run)
        for reader in (mine, other):
            assert [run["id"] for run in reader.get(PATH).json()["items"]] == [runs[reader]]
            for client, run in runs.items():
                assert reader.get(f"{PATH}/{run}").status_code == (200 if client is reader else 404)
        assert ids(api) == [*runs.values()][::-1], "unrestricted keys see all"
    elsewhere = api.client(api.key("read", "submit", queues=["default"], name="elsewhere"))
    answer = elsewhere.post(PATH, json=SELECT)
    assert (answer.status_code, answer.json()["code"]) == (403, "queue_not_allowed")
    run = start(mine)
    with api.engine.begin() as conn:
        conn.execute(sa.text("UPDATE task SET queue = 'low_priority' WHERE id = :id"), {"id": UUID(run)})
    assert mine.get(f"{PATH}/{run}").status_code == 404, "it was moved to a queue that is not the key's"


def test_an_id_that_is_used_again_tells_of_the_later_run(api: Api, worker: Worker) -> None:
    run = start(api.http)
    worker.begin(run)
    worker.end(run, Failed(INFEASIBLE))
    remove_tasks(api, run)
    assert start(api.http, {"kind": "load_gsheet", **BODIES[Kind.LOAD_GSHEET]}, id=run) == run
    assert (read(api, run)["kind"], read(api, run)["status"], ids(api)) == ("load_gsheet", "PENDING", [run])
    assert ids(api, status="FAILED") == []
    worker.begin(run)
    worker.end(run)
    remove_tasks(api, run)
    assert (read(api, run)["kind"], read(api, run)["error_code"], ids(api)) == ("load_gsheet", None, [run])
