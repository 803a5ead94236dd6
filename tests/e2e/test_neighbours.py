"""Tasks that keep ending their processes, beside others: those lose one run at most, and need not wait."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from tests.integration.worker.processes import lines
from tests.support.effects import effects
from tests.support.fleet import Fleet, repeating, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

_LIMITS = {"soft_timeout_seconds": 1.0, "hard_timeout_seconds": 1.0, "max_attempts": 5}
_ATTACK_SECONDS = 20.0

IN_C: dict[str, Any] = {"name": "diagnostics.sleep", "params": {"seconds": 20, "in_c": True}, **_LIMITS}
STUBBORN: dict[str, Any] = {"name": "tests.stubborn", "params": {"seconds": 60}, **_LIMITS}
CRASHING: dict[str, Any] = {"name": "diagnostics.crash", "params": {"times": 99}}


@pytest.mark.parametrize(
    ("hostile", "every", "neighbour_seconds"),
    [
        pytest.param(IN_C, 1.0, 8.0, marks=pytest.mark.long),
        pytest.param(STUBBORN, 0.5, 14.0, marks=pytest.mark.long),
        (CRASHING, 2.0, 8.0),
    ],
    ids=["past its limit in C", "past its limit and stubborn", "crashing"],
)
@pytest.mark.long
def test_beside_tasks_that_keep_ending_processes_none_loses_two_runs_and_most_do_not_wait(
    fleet: Fleet, hostile: dict[str, Any], every: float, neighbour_seconds: float
) -> None:
    fleet.start_api()
    fleet.start_scheduler()
    before = time.monotonic()
    fleet.start_worker(processes=2)
    replacing = time.monotonic() - before  # what it takes to start processes here and now
    wait_for(lambda: fleet.http.post("/tasks", json={"name": "diagnostics.echo", "params": {"value": 1}}).is_success)
    neighbours = [fleet.submit("tests.effect", {"seconds": neighbour_seconds}) for _ in range(2)]
    attackers: list[str] = []
    ordinary: list[str] = []
    with (
        repeating(lambda: attackers.append(fleet.submit(**hostile)), every=every),
        repeating(lambda: ordinary.append(fleet.submit("diagnostics.echo", {"value": 1})), every=0.25),
    ):
        time.sleep(_ATTACK_SECONDS)
    assert fleet.wait_final([*ordinary, *neighbours], 60) == {"succeeded": len(ordinary) + 2}
    lost = fleet.query(
        "SELECT task_id, count(*) AS runs FROM task_attempt WHERE task_id = ANY(CAST(:ids AS uuid[]))"
        " AND outcome <> 'succeeded' GROUP BY task_id",
        ids=[*ordinary, *neighbours],
    )
    assert {row.runs for row in lost} <= {1}
    waits = fleet.query(
        "SELECT CAST(extract(epoch FROM started_at - created_at) AS float8) AS seconds FROM task"
        " WHERE id = ANY(CAST(:ids AS uuid[]))",
        ids=ordinary,
    )
    assert statistics.median(row.seconds for row in waits) < replacing
    assert lines(fleet.logs(), '"tasks_slowed"', hostile["name"])
    assert not lines(fleet.logs(), '"tasks_slowed"', "diagnostics.echo")
    put_off = fleet.query(
        "SELECT DISTINCT t.name FROM task_event e JOIN task t ON t.id = e.task_id WHERE e.kind = 'put_off'"
    )
    assert {row.name for row in put_off} <= {hostile["name"]}


@pytest.mark.long
def test_beside_several_types_at_once_that_end_processes_none_loses_two_runs(fleet: Fleet) -> None:
    fleet.start_all(processes=2)
    wait_for(lambda: fleet.http.post("/tasks", json={"name": "diagnostics.echo", "params": {"value": 1}}).is_success)
    innocent = [fleet.submit("tests.effect", {"seconds": 15.0}) for _ in range(2)]
    with ExitStack() as attacks:
        for hostile, every in ((IN_C, 1.0), (STUBBORN, 0.5), (CRASHING, 4.0)):
            attacks.enter_context(repeating(lambda hostile=hostile: fleet.submit(**hostile), every=every))  # type: ignore[misc]
        attacks.enter_context(repeating(lambda: innocent.append(fleet.submit("tests.effect", {})), every=0.25))
        time.sleep(_ATTACK_SECONDS)
    assert fleet.wait_final(innocent, 60) == {"succeeded": len(innocent)}
    runs = Counter(one for one in effects(fleet.effects) if one in set(innocent))
    assert max(runs.values()) == 2, "the attack hits them, once"
