"""Selection runs from the call to the record: real services, the selection kit, and a worker that dies as a whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.test_selection import MANY, PEOPLE, QUOTAS, SLOW, drawing
from tests.kits.selection import pools
from tests.support.composed import guard_moves
from tests.support.fleet import Fleet, children, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("runs"), new_database(), new_redis_url())
    guard_moves(made.engine)
    made.start_all(queues="selection", threads=1)
    yield made
    made.stop()


def start(fleet: Fleet, people: list[dict[str, str]], quotas: list[dict[str, str]], number: int, **given: Any) -> str:
    """A run of the people and targets as files: how a caller that has large ones hands them over."""
    files = {
        name: {"item_id": fleet.http.post("/tree-items", content=table, headers={"X-Filename": name}).json()["item_id"]}
        for name, table in (("feature_data", pools.as_csv(people)), ("quota_data", pools.as_csv(quotas)))
    }
    params = {"number_to_select": number, "id_column": "id", **given}
    body = {"kind": "run_select", "selection_params": params, **files, "max_attempts": 1}
    answer = fleet.http.post("/selection-runs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def record(fleet: Fleet, run: str, **headers: str) -> dict[str, Any]:
    answer = fleet.http.get(f"/selection-runs/{run}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ended(fleet: Fleet, run: str) -> dict[str, Any]:
    wait_for(lambda: record(fleet, run)["completed_at"], 90, "the run to end", every=0.2)
    return record(fleet, run)


@pytest.mark.long
def test_a_run_ends_with_its_panel_and_is_told_after_its_task_is_gone(fleet: Fleet) -> None:
    run = start(fleet, PEOPLE, QUOTAS, 6, selection_algorithm="maximin")
    found = ended(fleet, run)
    assert (found["status"], found["progress_percentage"], found["error_message"]) == ("COMPLETED", 100, None)
    assert found["result"]["selected_count"] == 6
    panel = pools.of_csv(fleet.http.get(f"/tree-items/{found['result']['selected_item_id']}/content").content)
    assert pools.unmet(panel, QUOTAS) == []
    assert found["log_messages"], "what it logged, and the stages of its progress"
    fleet.query("DELETE FROM task WHERE name = 'selection.run_select' RETURNING id")
    assert record(fleet, run) == found
    assert fleet.http.get("/selection-runs").json()["items"] == [found]


def test_a_run_that_cannot_be_is_told_in_the_readers_language(fleet: Fleet) -> None:
    quotas = [{**quota, "min": "24", "max": "24"} for quota in QUOTAS]
    run = start(fleet, PEOPLE, quotas, 24)
    english, german = ended(fleet, run), record(fleet, run, **{"Accept-Language": "de"})
    assert (english["status"], german["status"]) == ("FAILED", "FAILED")
    assert (english["error_code"], german["error_code"]) == ("inconsistent_min_max_header",) * 2
    assert german["error_message"] == (
        "Die Zielvorgaben (quota_data) widersprechen einander: age verlangt mindestens 96 Personen, gender erlaubt"
        " höchstens 72. Senken Sie min von age, oder erhöhen Sie max von gender."
    )
    assert english["error_message"].startswith("The targets (quota_data) contradict each other: ")
    assert fleet.http.get("/selection-runs", params={"status": "FAILED"}).json()["items"] == [english]


def test_a_run_whose_worker_dies_is_told_to_run_until_its_lease_ends_and_no_longer(fleet: Fleet) -> None:
    run = start(fleet, *MANY, 60, **SLOW)
    wait_for(drawing, 60, "the draw")
    assert record(fleet, run)["status"] == "RUNNING"
    worker = fleet.processes[-1]
    for pid in (worker.pid, *children(worker.pid)):
        os.kill(pid, signal.SIGKILL)
    worker.wait(10)
    (beat,) = fleet.query("SELECT beat_at FROM worker")
    lease = timedelta(seconds=float(fleet.environment["TASKYARD_WORKER_LEASE_SECONDS"]))

    def is_over() -> bool:
        """Reads the run, later than the time that it compares: a slow machine makes no false alarm."""
        (at,) = fleet.query("SELECT clock_timestamp() AS now")
        status = record(fleet, run)["status"]
        over: bool = at.now > beat.beat_at + lease + timedelta(seconds=1)
        assert not (over and status == "RUNNING"), at.now - beat.beat_at
        return over

    wait_for(is_over, 60, "the end of the lease", every=0.05)
    fleet.wait_state(run, "queued")
    assert record(fleet, run)["status"] == "PENDING"
    (lost,) = fleet.attempts(run)
    assert lost.outcome in {"crashed", "suspected"}, "whether the last beat named it or not"
    # Both times are the database's.
    late = lost.finished_at - beat.beat_at - lease
    assert timedelta(0) < late <= timedelta(seconds=5), late
    wait_for(lambda: not drawing(), 30, "its process to end")
    assert fleet.http.post(f"/tasks/{run}/cancel").status_code == 202
    assert record(fleet, run)["status"] == "CANCELLED"
