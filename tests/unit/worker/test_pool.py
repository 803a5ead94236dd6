"""Which children the pool starts and when, and which it retires."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from taskyard.domain.processes import ProcessRange
from taskyard_worker import quarantine
from taskyard_worker.supervisor.autoscale import Autoscale
from taskyard_worker.supervisor.children import Children
from taskyard_worker.supervisor.pool import ChildPool
from taskyard_worker.supervisor.restarts import Restarts

from .dead_child import DeadChild
from .making import Clock


@dataclass
class MadeUpTemplate:
    is_awaited: bool = False

    def turn(self) -> None: ...

    def renew(self) -> None: ...


class Harness:
    """A pool whose children are made up."""

    def __init__(self, *children: DeadChild, wanted: int = 1, maximum: int = 4) -> None:
        self.scale = Autoscale(minimum=1, maximum=maximum, threads=4)
        self.scale.wanted = wanted
        self.children = Children()
        self.given = children
        for child in children:
            self._add(child)
        self.template = MadeUpTemplate()
        template: Any = self.template
        self.pool = ChildPool(self.scale, self.children, template, self._start)

    def _add(self, child: Any) -> None:
        child.pid = child.index = len(self.children)
        self.children.add(child)

    def _start(self, index: int, quarantined: bool) -> Any:
        child = DeadChild(0, quarantine=quarantined, ready=False)
        child.pid = child.index = index
        return child

    def turn(self, suspects: int = 0) -> None:
        self.pool.turn(suspects)
        for child in self.children:
            child.close()

    def started(self) -> list[bool]:
        """Of each child that was started: whether it is in quarantine."""
        return [child.quarantine for child in self.children][len(self.given) :]


def retired(*children: DeadChild, wanted: int) -> list[bool]:
    """Which of the children are retired where so many are wanted."""
    before = [child.retiring for child in children]
    Harness(*children, wanted=wanted).turn()
    return [child.retiring and not was for child, was in zip(children, before, strict=True)]


def test_of_more_children_than_are_wanted_the_idlest_are_retired() -> None:
    assert retired(DeadChild(2), DeadChild(0), DeadChild(1), wanted=2) == [False, True, False]
    assert retired(DeadChild(2), DeadChild(0), DeadChild(1), wanted=1) == [False, True, True]
    assert retired(DeadChild(2), DeadChild(0), DeadChild(1), wanted=3) == [False] * 3


def test_children_that_start_or_retire_and_those_in_quarantine_are_not_counted() -> None:
    others = [DeadChild(0, ready=False), DeadChild(0, retiring=True), DeadChild(0, quarantine=True)]
    assert retired(DeadChild(1), *others, wanted=1) == [False] * 4


def test_a_worn_child_is_retired_first_and_only_once_another_one_is_ready() -> None:
    assert retired(DeadChild(2, worn="max_tasks"), DeadChild(0, ready=False), wanted=1) == [False, False]
    assert retired(DeadChild(2, worn="max_tasks"), DeadChild(0), wanted=1) == [True, False]


def test_a_child_that_is_ready_replaces_one_worn_child_of_its_kind() -> None:
    worn = [DeadChild(0, worn="max_tasks") for _ in range(2)]
    alone = DeadChild(0, worn="max_tasks", quarantine=True)
    successor = DeadChild(0, ready=False)
    harness = Harness(alone, *worn, successor)
    harness.pool.is_ready(successor)  # type: ignore[arg-type]
    assert successor.ready
    assert [child.retiring for child in (alone, *worn)] == [False, True, False]
    harness.turn()


def test_interrupted_children_work_on_while_no_other_child_may_start_in_their_place() -> None:
    children = [DeadChild(0, worn="interrupted") for _ in range(3)]
    harness = Harness(*children, wanted=3)
    harness.template.is_awaited = True  # as after an update that cannot be imported
    harness.pool.turn(0)
    assert not any(child.retiring for child in children)
    harness.template.is_awaited = False
    harness.turn()
    assert all(child.retiring for child in children)
    assert harness.started() == [False] * 3


def test_children_that_are_to_be_replaced_are_so_one_after_the_other_and_each_by_one_that_is_ready() -> None:
    old = [DeadChild(0), DeadChild(0, ready=False), DeadChild(0)]
    alone = DeadChild(0, quarantine=True)
    harness = Harness(*old, alone, wanted=3)
    harness.pool.replace_all()
    assert alone.retiring, "one in quarantine is followed where suspects wait"
    replaced = []
    for _ in range(4):
        harness.pool.turn(0)
        serving = [child for child in harness.children if not child.retiring and not child.quarantine]
        replaced.append(sum(child.retiring for child in old))
        assert sum(child.worn is not None for child in serving) <= 1, "one at a time"
        assert len(serving) >= 3, "each works on until its successor is there"
        for child in serving:
            if not child.ready:
                harness.pool.is_ready(child)
    assert replaced == [0, 1, 2, 3]
    assert {child.worn for child in old} == {"reload"}
    assert sum(not child.retiring and not child.quarantine for child in harness.children) == 3
    harness.turn()


def test_a_fixed_pool_that_is_made_smaller_retires_the_idlest_and_one_that_is_made_larger_starts_others() -> None:
    children = [DeadChild(2), DeadChild(0), DeadChild(1)]
    harness = Harness(*children, wanted=3, maximum=3)
    harness.pool.resize(ProcessRange(2, 2))
    harness.pool.turn(0)
    assert [child.retiring for child in children] == [False, True, False]
    harness.pool.resize(ProcessRange(4, 4))
    harness.turn()
    assert harness.started() == [False, False]
    assert [child.retiring for child in children] == [False, True, False], "what retires does not come back"


def test_many_that_retire_after_a_reduction_do_not_keep_the_few_that_stay_from_being_replaced() -> None:
    harness = Harness(*(DeadChild(1) for _ in range(6)), wanted=6, maximum=6)
    harness.pool.resize(ProcessRange(1, 1))
    harness.pool.turn(0)
    [stays] = [child for child in harness.given if not child.retiring]
    harness.children.remove(stays)  # type: ignore[arg-type]
    harness.turn()
    assert len(harness.children) == 6, "five retire, and another one serves"
    stays.close()


def test_a_restart_that_is_asked_for_once_is_done_once_however_often_it_is_read() -> None:
    old = [DeadChild(0), DeadChild(0)]
    harness = Harness(*old, wanted=2)
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    def turn(asked_at: datetime) -> None:
        harness.pool.restart(asked_at)
        harness.pool.turn(0)
        for child in harness.children:
            if not child.ready:
                harness.pool.is_ready(child)

    for _ in range(4):
        assert harness.pool.restarted_at is None, "the old ones have not ended"
        turn(first)
    assert all(child.retiring for child in old)
    for child in old:
        harness.children.remove(child)  # type: ignore[arg-type]
        child.close()
    fresh = [child.pid for child in harness.children]
    for _ in range(2):
        turn(first)
    assert (harness.pool.restarted_at, [child.pid for child in harness.children]) == (first, fresh)
    turn(second)
    assert len(harness.children) == 3
    assert harness.pool.restarted_at == first
    harness.turn()


@pytest.mark.parametrize(("suspects", "expected"), [(0, 0), (1, 1), (2, 2), (10, 2)])
def test_while_suspects_wait_children_in_quarantine_run_beside_the_ordinary_ones(suspects: int, expected: int) -> None:
    harness = Harness(maximum=2)
    harness.turn(suspects)
    assert sorted(harness.started()) == [False] + [True] * expected
    harness.turn(suspects)
    assert len(harness.started()) == 1 + expected, "no more than are wanted"


@pytest.mark.parametrize(
    ("companies", "expected"),
    [
        ([], 0),
        ([None, None], 2),
        (["a"], 1),
        (["a"] * 4, 1),
        (["a"] * 5, 2),
        ([None, "a", None], 3),
        (["a", "b", "a"], 2),
    ],
)
def test_what_is_of_one_kind_shares_children_in_quarantine(companies: list[str | None], expected: int) -> None:
    assert quarantine.children_for(companies, 4) == expected


@pytest.mark.parametrize(("begun", "expected"), [([1], 1), ([0], 0), ([1, 0], 0), ([1, 1], 0)])
def test_work_that_waits_does_not_wait_for_a_child_in_quarantine_that_is_busy(begun: list[int], expected: int) -> None:
    children = [DeadChild(tasks, quarantine=True) for tasks in begun]
    harness = Harness(DeadChild(0), *children, maximum=2)
    harness.turn(1)
    assert harness.started() == [True] * expected


def test_the_pause_doubles_up_to_a_bound_and_is_forgiven_after_a_minute() -> None:
    clock = Clock()
    restarts = Restarts(clock, lambda: 1.0)
    assert restarts.pause <= 0
    pauses = []
    for _ in range(8):
        restarts.slow_down()
        pauses.append(restarts.pause)
        clock.now += restarts.pause
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15]
    clock.now += 61
    restarts.slow_down()
    assert restarts.pause == 0.5
