"""A walk over many items: in a real worker, which is killed, cancelled, and short of time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def walked(fleet: Fleet) -> list[int]:
    file = Path(f"{fleet.effects}.walked")
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def start(fleet: Fleet, **environment: str) -> None:
    fleet.environment.update(environment)
    fleet.start_all(threads=1)


@pytest.mark.parametrize("name", ["tests.walk", pytest.param("tests.walk_async", marks=pytest.mark.long)])
@pytest.mark.parametrize(("place", "twice"), [("mark.before:2", range(100, 200)), ("mark.after:2", range(0))])
def test_after_a_crash_a_walk_goes_on_where_it_stopped(fleet: Fleet, name: str, place: str, twice: range) -> None:
    start(fleet, TASKYARD_FAILPOINTS=place)
    task_id = fleet.submit(name, {"items": 450})
    fleet.wait_state(task_id, "succeeded", seconds=60)
    assert fleet.task(task_id).crashes == 1
    counted = Counter(walked(fleet))
    assert counted.keys() == set(range(450))
    assert {n for n, times in counted.items() if times > 1} == set(twice), "at most the batch that was under way"
    assert max(counted.values()) <= 2
    answer = fleet.http.get(f"/tasks/{task_id}").json()
    assert answer["progress"] == {"percent": 100, "current": 450, "total": 450, "message": "Walking"}


@pytest.mark.parametrize("name", ["tests.walk", pytest.param("tests.walk_async", marks=pytest.mark.long)])
def test_a_walk_yields_to_a_cancellation_and_a_retry_goes_on_where_it_stopped(fleet: Fleet, name: str) -> None:
    start(fleet)
    task_id = fleet.submit(name, {"items": 2000, "size": 10, "seconds": 0.1})
    wait_for(lambda: len(walked(fleet)) > 30, 30, "some batches")
    assert fleet.http.post(f"/tasks/{task_id}/cancel").status_code == 202
    fleet.wait_state(task_id, "cancelled", seconds=30)
    before = walked(fleet)
    assert len(before) < 2000
    assert fleet.attempts(task_id)[0].outcome == "cancelled", "acknowledged, and not forced"
    fleet.query("UPDATE task SET params = params || '{\"seconds\": 0.0}' WHERE name LIKE 'tests.walk%' RETURNING id")
    assert fleet.http.post(f"/tasks/{task_id}/retry").status_code == 202
    fleet.wait_state(task_id, "succeeded", seconds=60)
    after = walked(fleet)
    assert set(after) == set(range(2000))
    assert len(after) <= 2000 + 10, "at most the batch that was under way came again"


@pytest.mark.parametrize("name", ["tests.walk", pytest.param("tests.walk_async", marks=pytest.mark.long)])
def test_a_walk_that_is_longer_than_its_soft_limit_goes_on_in_further_attempts_and_none_pays(
    fleet: Fleet, name: str
) -> None:
    start(fleet)
    # Two batches fit, where there has to be time for twice the longest; either may take three seconds longer.
    params: dict[str, Any] = {"items": 40, "size": 10, "seconds": 2.0}
    limits = {"soft_timeout_seconds": 7, "hard_timeout_seconds": 40, "max_attempts": 1}
    task_id = fleet.submit(name, params, **limits)
    fleet.wait_state(task_id, "succeeded", seconds=60)
    assert walked(fleet) == [*range(40)]
    attempts = [one.outcome for one in fleet.attempts(task_id)]
    assert attempts[-1] == "succeeded"
    assert set(attempts[:-1]) == {"released"}
    assert fleet.task(task_id).failures == 0
