"""Time limits and cancellation, on real processes: what does not end by itself is ended, and nobody else pays."""

from __future__ import annotations

import signal
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from taskyard_dev.servers import Valkey
from tests.support.effects import effects
from tests.support.fleet import Fleet, children, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

GRACE_SECONDS = 1.5


def start(fleet: Fleet, *, threads: int = 4, grace: float = GRACE_SECONDS) -> subprocess.Popen[bytes]:
    fleet.environment["TASKYARD_CANCEL_GRACE_SECONDS"] = str(grace)
    fleet.start_api()
    fleet.start_scheduler()
    return fleet.start_worker(threads=threads)


def begun(fleet: Fleet, task_id: str) -> None:
    wait_for(lambda: task_id in effects(fleet.effects), 20, f"{task_id} to begin\n{fleet.logs()[-3000:]}")


def log_holds(fleet: Fleet, what: str, times: int) -> bool:
    return fleet.logs().count(what) == times


def timeline(fleet: Fleet, task_id: str) -> list[dict[str, Any]]:
    answer = fleet.http.get(f"/tasks/{task_id}/events", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def kinds(fleet: Fleet, task_id: str) -> list[str]:
    return [event["kind"] for event in timeline(fleet, task_id)]


def limits(soft: float, hard: float) -> dict[str, Any]:
    return {"soft_timeout_seconds": soft, "hard_timeout_seconds": hard, "max_attempts": 1}


def test_what_runs_too_long_is_told_and_then_ended_and_its_neighbours_pay_nothing(fleet: Fleet) -> None:
    worker = start(fleet)
    (first,) = children(worker.pid)
    neighbour = fleet.submit("tests.effect", {"seconds": 9.0})
    soft = fleet.submit("diagnostics.sleep", {"seconds": 60}, **limits(1, 30))
    hard = fleet.submit("tests.stubborn", {"seconds": 60}, **limits(1, 2))
    life = fleet.submit(
        "diagnostics.sleep",
        {"seconds": 60},
        expires_at=(datetime.now(UTC) + timedelta(seconds=6)).isoformat(),
        max_attempts=1,
    )
    assert fleet.wait_final([soft, hard, life], 20) == {"failed": 3}
    assert [fleet.task(i).error["code"] for i in (soft, hard, life)] == [
        "soft_time_limit",
        "hard_time_limit",
        "expired",
    ]
    assert "soft_time_limit" in kinds(fleet, soft)
    (attempt,) = fleet.attempts(hard)
    ran = (attempt.finished_at - attempt.started_at).total_seconds()
    assert ran >= 1.5, "counted from the moment the function began"
    # The child that has to end lets the neighbour finish, and another one takes its place meanwhile.
    fleet.wait_final(fleet.submit_many(20, "diagnostics.echo", {"value": 1}), 20)
    assert fleet.wait_final([neighbour], 20) == {"succeeded": 1}
    row = fleet.task(neighbour)
    assert (row.attempt, row.crashes, row.suspicions) == (1, 0, 0)
    assert attempt.finished_at < row.finished_at, "and not with the end of its process"
    wait_for(lambda: first not in children(worker.pid), 15, "the child to be gone")
    assert fleet.task(hard).state == "failed", "what it did afterwards did not count"


def test_a_task_that_holds_the_gil_past_its_limit_is_killed_and_the_innocent_run_again(fleet: Fleet) -> None:
    start(fleet)
    innocent = fleet.submit("tests.effect", {"seconds": 30.0})
    begun(fleet, innocent)
    fleet.quick_from_now_on()
    deaf = fleet.submit("diagnostics.sleep", {"seconds": 100, "in_c": True}, **limits(1, 1.5))
    assert fleet.wait_final([deaf], 30) == {"failed": 1}
    assert fleet.task(deaf).error["code"] == "hard_time_limit"
    assert fleet.wait_final([innocent], 20) == {"succeeded": 1}
    row = fleet.task(innocent)
    assert (row.attempt, row.crashes, row.suspicions, row.failures) == (2, 0, 0, 0)
    assert fleet.attempts(innocent)[0].outcome == "released"


def test_with_one_thread_the_child_is_ended_at_once(fleet: Fleet) -> None:
    worker = start(fleet, threads=1)
    (first,) = children(worker.pid)
    task_id = fleet.submit("tests.stubborn", {"seconds": 60}, **limits(1, 1.5))
    fleet.wait_final([task_id], 20)
    assert first not in children(worker.pid)
    assert fleet.wait_final([fleet.submit("tests.effect")], 20) == {"succeeded": 1}


def test_a_running_task_is_cancelled_step_by_step_and_its_children_with_it(fleet: Fleet) -> None:
    start(fleet)
    parent = fleet.submit("tests.family", {"children": 3, "seconds": 60.0})
    wait_for(lambda: len(effects(fleet.effects)) == 3, 20, "the children to begin")
    ids = [parent, *effects(fleet.effects)]
    answer = fleet.http.post(f"/tasks/{parent}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLING")
    assert fleet.wait_final(ids, 20) == {"cancelled": 4}
    for task_id in ids:
        said = kinds(fleet, task_id)
        steps = ["cancel_requested", "cancel_delivered", "cancel_acknowledged", "cancelled"]
        assert [kind for kind in said if kind.startswith("cancel")] == steps
    again = fleet.http.post(f"/tasks/{parent}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "state_conflict")
    assert "cancelled" in again.json()["detail"]
    # The children that were interrupted are replaced, and work goes on.
    assert fleet.wait_final(fleet.submit_many(20, "diagnostics.echo", {"value": 1}), 20) == {"succeeded": 20}


@pytest.mark.long
def test_cancelling_again_and_again_does_not_fill_the_host_with_children(fleet: Fleet) -> None:
    worker = start(fleet, threads=2)
    stays = []
    for worn in (1, 2):
        stays.append(fleet.submit("tests.effect", {"seconds": 60.0}))
        victim = fleet.submit("tests.effect", {"seconds": 60.0})
        begun(fleet, victim)
        fleet.http.post(f"/tasks/{victim}/cancel")
        assert fleet.wait_final([victim], 20) == {"cancelled": 1}
        wait_for(partial(log_holds, fleet, '"child_worn"', worn), 20, "the child to know")
        if worn == 1:  # until then it would take what comes
            wait_for(partial(log_holds, fleet, '"child_retiring"', 1), 20, "the child to take no more")
            wait_for(lambda: len(children(worker.pid)) == 2, 20, "another one")
    stays.append(fleet.submit("tests.effect", {"seconds": 60.0}))
    begun(fleet, stays[2])
    workers = [fleet.task(i).worker for i in stays]
    assert workers[2] == workers[1] != workers[0], "while one finishes what it has, the next one works on"
    assert len(children(worker.pid)) == 2
    for task_id in stays:
        fleet.http.post(f"/tasks/{task_id}/cancel")
    assert fleet.wait_final(stays, 20) == {"cancelled": 3}
    assert fleet.wait_final(fleet.submit_many(20, "diagnostics.echo", {"value": 1}), 20) == {"succeeded": 20}


def test_what_does_not_stop_is_forced_and_asking_twice_says_so(fleet: Fleet) -> None:
    grace = 6.0  # to ask twice takes less
    start(fleet, grace=grace)
    task_id = fleet.submit("tests.stubborn", {"seconds": 60})
    begun(fleet, task_id)
    assert "asked to stop." in fleet.http.post(f"/tasks/{task_id}/cancel").json()["message"]
    second = fleet.http.post(f"/tasks/{task_id}/cancel")
    assert second.status_code == 202
    assert "before" in second.json()["message"]
    fleet.wait_final([task_id], 40)
    row = fleet.task(task_id)
    assert grace <= (row.finished_at - row.cancel_requested_at).total_seconds() < grace + 15
    assert [k for k in kinds(fleet, task_id) if k.startswith("cancel")] == [
        "cancel_requested",
        "cancel_delivered",
        "cancel_forced",
        "cancelled",
    ]


def test_a_request_to_cancel_survives_redis_and_the_worker(own_fleet: Fleet, own_valkey: Valkey) -> None:
    fleet, valkey = own_fleet, own_valkey
    worker = start(fleet)
    first = fleet.submit("tests.effect", {"seconds": 60.0})
    begun(fleet, first)
    valkey.stop()
    try:
        assert fleet.http.post(f"/tasks/{first}/cancel").status_code == 202
        # No hint comes through: the next beat finds the request.
        assert fleet.wait_final([first], 20) == {"cancelled": 1}
    finally:
        valkey.start()
    second = fleet.submit("tests.effect", {"seconds": 60.0})
    begun(fleet, second)
    worker.send_signal(signal.SIGSTOP)
    assert fleet.http.post(f"/tasks/{second}/cancel").status_code == 202
    worker.kill()
    assert fleet.wait_final([second], 30) == {"cancelled": 1}
    assert effects(fleet.effects).count(second) == 1, "it was not run again"


def test_of_several_tasks_in_a_child_that_dies_only_the_guilty_one_pays(fleet: Fleet) -> None:
    worker = start(fleet)
    innocent = [fleet.submit("tests.effect", {"seconds": 30.0}) for _ in range(3)]
    for task_id in innocent:
        begun(fleet, task_id)
    fleet.quick_from_now_on()
    guilty = fleet.submit("diagnostics.crash", {"signal": 9, "times": 99})
    assert fleet.wait_final([*innocent, guilty], 60) == {"succeeded": 3, "failed": 1}
    for task_id in innocent:
        row = fleet.task(task_id)
        assert (row.crashes, row.suspicions, row.failures, row.attempt) == (0, 1, 0, 2)
        assert [a.outcome for a in fleet.attempts(task_id)] == ["suspected", "succeeded"]
    row = fleet.task(guilty)
    assert (row.crashes, row.suspicions, row.error["code"]) == (3, 1, "crash_limit")
    assert [a.outcome for a in fleet.attempts(guilty)] == ["suspected", "crashed", "crashed", "crashed"]
    assert "3 times" in row.error["message"]
    # The quarantine is closed again.
    wait_for(lambda: len(children(worker.pid)) == 1, 20, "only the regular child to be left")
