"""Panels from the upload of people to the lists: real services, one thread for the queue `selection`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.kits.selection import pools
from tests.support.composed import guard_moves
from tests.support.fleet import Fleet, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PEOPLE, QUOTAS = pools.people(24), pools.targets(6, 0.3)
MANY = pools.people(600), pools.targets(60, 0.03)
ALGORITHMS = ["maximin", "leximin", "nash", "diversimax", "legacy"]


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("selection"), new_database(), new_redis_url())
    guard_moves(made.engine)
    made.start_all(queues="selection", threads=1)
    yield made
    made.stop()


def upload(fleet: Fleet, content: bytes) -> str:
    answer = fleet.http.post("/tree-items", content=content, headers={"X-Filename": "table.csv"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["item_id"])


def submit(fleet: Fleet, people: list[dict[str, str]], quotas: list[dict[str, str]], number: int, **given: Any) -> str:
    """The people as a file, the targets in the parameters."""
    options = {name: given.pop(name) for name in list(given) if name.endswith("_timeout_seconds")}
    params = {
        "selection_params": {"number_to_select": number, "id_column": "id", **given},
        "feature_data": {"item_id": upload(fleet, pools.as_csv(people))},
        "quota_data": {"rows": quotas},
    }
    return fleet.submit("selection.run_select", params, max_attempts=1, **options)


def result(fleet: Fleet, task: str) -> dict[str, Any]:
    fleet.wait_state(task, "succeeded", "failed", seconds=90)
    found = fleet.http.get(f"/tasks/{task}").json()
    assert found["state"] == "succeeded", found["error"]
    return dict(found["result"])


def list_of(fleet: Fleet, item_id: str) -> list[pools.Person]:
    return pools.of_csv(fleet.http.get(f"/tree-items/{item_id}/content").content)


def drawing() -> list[psutil.Process]:
    """The processes that draw, of this test's process and of those that it started."""
    found = psutil.Process().children(recursive=True)
    return [p for p in found if p.is_running() and "taskyard_kits.selection.drawing" in cmdline(p)]


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.long
def test_every_algorithm_s_panel_meets_its_quotas_and_another_worker_draws_it_again(fleet: Fleet) -> None:
    tasks = {name: submit(fleet, PEOPLE, QUOTAS, 6, selection_algorithm=name) for name in ALGORITHMS}
    results = {name: result(fleet, task) for name, task in tasks.items()}
    panels = {name: list_of(fleet, found["selected_item_id"]) for name, found in results.items()}
    for name, panel in panels.items():
        assert pools.unmet(panel, QUOTAS) == [], name
        assert len(panel) == 6
        left = list_of(fleet, results[name]["remaining_item_id"])
        assert sorted(p["id"] for p in panel + left) == [p["id"] for p in PEOPLE]

    first = fleet.processes[-1]
    first.terminate()
    first.wait(30)
    fleet.start_worker(queues="selection", threads=1)
    for name in ("maximin", "nash"):
        seed = results[name]["random_seed"]
        again = result(fleet, submit(fleet, PEOPLE, QUOTAS, 6, selection_algorithm=name, random_seed=seed))
        assert list_of(fleet, again["selected_item_id"]) == panels[name]


def test_targets_that_cannot_be_met_are_told_in_the_reader_s_language_with_what_would_help(fleet: Fleet) -> None:
    people = [{"id": str(n), "gender": g, "area": a} for n, (g, a) in enumerate([("f", "s"), ("m", "n")] * 2)]
    quotas = [
        {"feature": feature, "value": value, "min": str(number), "max": str(number)}
        for feature, value, number in [("gender", "f", 2), ("gender", "m", 1), ("area", "n", 2), ("area", "s", 1)]
    ]
    task = submit(fleet, people, quotas, 3)
    fleet.wait_state(task, "failed", seconds=60)
    error = fleet.http.get(f"/tasks/{task}", headers={"Accept-Language": "de"}).json()["error"]
    assert error["code"] == "infeasible_quotas_header"
    assert error["message"].startswith("Kein Panel aus diesen Personen kann alle Zielvorgaben erfüllen.")
    assert "max 1 → 2" in error["message"]
    assert fleet.task(task).failures == 1, "it is not tried again"


# Minutes of nash.
SLOW: dict[str, Any] = {"selection_algorithm": "nash"}


def test_a_draw_that_takes_too_long_is_ended_by_its_soft_limit_and_leaves_no_process(fleet: Fleet) -> None:
    task = submit(fleet, *MANY, 60, **SLOW, soft_timeout_seconds=10, hard_timeout_seconds=60)
    wait_for(drawing, 60, "the draw")
    fleet.wait_state(task, "failed", seconds=60)
    assert fleet.http.get(f"/tasks/{task}").json()["error"]["code"] == "soft_time_limit"
    assert not drawing()


def test_a_draw_whose_task_hangs_is_ended_by_its_hard_limit_and_leaves_no_process(fleet: Fleet) -> None:
    task = submit(fleet, *MANY, 60, **SLOW, soft_timeout_seconds=12, hard_timeout_seconds=13)
    draw = wait_for(drawing, 60, "the draw")[0]
    os.kill(draw.ppid(), signal.SIGSTOP)  # neither the draw nor the soft limit can end the task
    fleet.wait_state(task, "failed", seconds=60)
    assert fleet.http.get(f"/tasks/{task}").json()["error"]["code"] == "hard_time_limit"
    wait_for(lambda: not drawing(), 30, "its process to end")
