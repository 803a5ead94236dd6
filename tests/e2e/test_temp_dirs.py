"""An attempt's temporary directory is its own, and is gone when the attempt is, whatever ended it."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, children, wait_for

pytestmark = pytest.mark.e2e


def directories(fleet: Fleet) -> list[Path]:
    """Of attempts."""
    return [path for path in (fleet.home / "temp" / "attempts").glob("*/*/*") if path.is_dir()]


def start(fleet: Fleet) -> None:
    fleet.environment["TASKYARD_TASK_MODULES"] += ",tests.support.scratch_tasks"
    fleet.start_api()
    fleet.start_scheduler()


def test_the_directory_of_an_attempt_is_gone_after_its_end_whatever_the_end(fleet: Fleet) -> None:
    start(fleet)
    fleet.start_worker(threads=2)
    returns: list[dict[str, object]] = [
        {"name": name, "params": {}} for name in ("tests.scratch", "tests.scratch_async")
    ]
    others: list[dict[str, object]] = [{"name": "tests.scratch", "params": {"end": end}} for end in ("raises", "waits")]
    fleet.wait_final([fleet.submit("tests.scratch")], 30)  # the child is ready, and claims all that follow at once
    sent = fleet.http.post("/tasks/batch", json={"tasks": [*returns, *others]}).raise_for_status().json()
    *ends, _, cancelled = (item["id"] for item in sent["items"])
    wait_for(lambda: fleet.task(cancelled).state == "running", 20, "the last to run")
    wait_for(lambda: len(directories(fleet)) > 0, 20, "its directory")
    fleet.http.post(f"/tasks/{cancelled}/cancel").raise_for_status()
    fleet.wait_final([*ends, cancelled], 30)
    made = {fleet.task(task).result["path"] for task in ends}
    assert len(made) == 2
    wait_for(lambda: directories(fleet) == [], 30, "all directories to go")


def test_a_killed_child_leaves_no_directory_and_the_next_attempt_has_another_one(fleet: Fleet) -> None:
    start(fleet)
    worker = fleet.start_worker(threads=1)
    task = fleet.submit("tests.scratch", {"end": "waits"})
    wait_for(lambda: len(directories(fleet)) == 1, 30, "its directory")
    (first,) = directories(fleet)
    (child,) = children(worker.pid)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: not first.exists() and not first.parent.exists(), 30, "the directory to go")
    wait_for(lambda: len(directories(fleet)) == 1, 30, "that of the next attempt")
    assert directories(fleet) != [first]
    assert fleet.task(task).attempt == 2


@pytest.mark.long
def test_what_a_killed_worker_leaves_goes_when_the_next_one_starts_and_nothing_of_living_ones(fleet: Fleet) -> None:
    start(fleet)
    living, killed = (fleet.start_worker(threads=1) for _ in range(2))
    for _ in range(2):
        fleet.submit("tests.scratch", {"end": "waits"})
    wait_for(lambda: len(directories(fleet)) == 2, 30, "both directories")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(10)
    assert len(directories(fleet)) == 2
    before = {path: path.stat().st_ino for path in directories(fleet)}
    fleet.start_worker(threads=1)
    wait_for(lambda: len([path for path in before if path.exists()]) == 1, 20, "the dead one's directory to go")
    assert living.poll() is None
    (left,) = [path for path in before if path.exists()]
    assert left.stat().st_ino == before[left]
    assert (left / "large").stat().st_size == 1_000_000


def test_a_worker_that_stops_in_order_leaves_nothing(fleet: Fleet) -> None:
    start(fleet)
    worker = fleet.start_worker(threads=1)
    fleet.wait_final([fleet.submit("tests.scratch")], 30)
    worker.send_signal(signal.SIGTERM)
    worker.wait(40)
    assert list((fleet.home / "temp" / "attempts").iterdir()) == []
