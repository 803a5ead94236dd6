"""What becomes of due times, look by look: waiting for a worker makes none too old, and none is left without a row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from taskyard.schedules.changes import template_of
from taskyard.schedules.planning import Look, Plan, plan
from taskyard.schedules.triggers import Interval, Times
from taskyard.store.schedules import Schedule
from tests.support.ledger import new_task

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
GRACE = timedelta(seconds=30)
LONG = timedelta(hours=1)


def second(number: float) -> datetime:
    return BEGIN + timedelta(seconds=number)


def due(**more: Any) -> Schedule:
    """Due at BEGIN; nothing is made up for."""
    task = new_task()
    values: dict[str, Any] = {
        "id": UUID(int=1), "name": "a", "task": template_of(task), "task_bytes": 1,
        "task_name": task.name, "queue": task.queue, "trigger": {}, "anchored_at": BEGIN, "start_at": None,
        "end_at": None, "jitter_seconds": 0.0, "misfire": "all", "catch_up_seconds": 0.0, "overlap": "allow",
        "enabled": True, "source": None, "created_by": None, "version": 1, "created_at": BEGIN, "changed_at": BEGIN,
        "next_due_at": BEGIN, "fires_at": BEGIN, "last_due_at": None, "last_task_id": None,
    }  # fmt: skip
    return Schedule(**{**values, **more})


def look(at: float, *, led: timedelta = LONG, has_worker: bool = False, every: int = 60, **more: Any) -> Plan:
    """`at` seconds after BEGIN, at a schedule of so many seconds."""
    seen = Look(
        now=second(at), grace=GRACE, led=led, has_worker=has_worker, is_running=False, fired=frozenset(), most_due=500,
        most_tasks=500,
    )  # fmt: skip
    return plan(due(**more), Times(Interval(timedelta(seconds=every), BEGIN)), seen)


def outcomes(made: Plan) -> list[str]:
    return [fire.outcome for fire in made.fires]


@pytest.mark.parametrize("between", [0.003, 1.0, 4.0])
def test_a_due_time_without_a_worker_is_told_so_however_short_its_catch_up(between: float) -> None:
    held = look(29.9)
    assert (held.fires, held.next_due_at) == ([], BEGIN)
    assert outcomes(look(30 + between)) == ["no_live_worker"]


@pytest.mark.parametrize(("led", "has_worker", "expected"), [
    (29.0, False, []),
    (29.0, True, ["submitted"]),
    (30.5, True, ["submitted"]),
    (30.5, False, ["no_live_worker"]),
    (90.0, True, ["too_old"]),
])  # fmt: skip
def test_what_waits_after_a_restart_of_everything_does_not_grow_older(
    led: float, has_worker: bool, expected: list[str]
) -> None:
    """The leader began 20 seconds after the due time."""
    made = look(20 + led, led=timedelta(seconds=led), has_worker=has_worker)
    assert outcomes(made)[:1] == expected


def test_what_was_too_old_when_the_leader_began_stays_so() -> None:
    assert outcomes(look(50, led=timedelta(seconds=10)))[:1] == ["too_old"]


@pytest.mark.parametrize("now", [31, 31.5, 32])
def test_each_due_time_stands_in_the_row_of_the_old_or_in_one_of_its_own(now: float) -> None:
    """Also the one that is just as old as it may be."""
    made = look(now, has_worker=True, every=1)
    (old, *others) = made.fires
    assert old.outcome == "too_old"
    end = old.until or old.due_at
    assert [fire.due_at for fire in others] == [second(n) for n in range(60) if end < second(n) <= second(now)]


def test_what_has_a_fire_already_has_no_second_one() -> None:
    seen = Look(
        now=second(100), grace=GRACE, led=LONG, has_worker=True, is_running=False, fired=frozenset({BEGIN}),
        most_due=500, most_tasks=500,
    )  # fmt: skip
    times = Times(Interval(timedelta(seconds=1), BEGIN))
    (old, first, *_) = plan(due(), times, seen).fires
    assert (old.due_at, old.until, first.due_at) == (second(1), second(70) - timedelta(microseconds=1), second(70))
    assert plan(replace(due(), catch_up_seconds=99.0), times, seen).fires[0].due_at == second(1)
