"""What the supervisor does about a child's end, without any process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from taskyard.lifecycle.rescue import Guilt, Lost
from taskyard_worker.control import EXIT_BROKEN
from taskyard_worker.memory import OomKills
from taskyard_worker.slots import Kind
from taskyard_worker.supervisor.autoscale import Autoscale
from taskyard_worker.supervisor.children import Children
from taskyard_worker.supervisor.enforcer import Enforcer
from taskyard_worker.supervisor.pool import ChildPool
from taskyard_worker.supervisor.requests import Requests
from taskyard_worker.supervisor.supervisor import Supervisor

from .dead_child import DeadChild
from .making import no_template


class Harness:
    """A supervisor that starts nothing, and what it has recorded."""

    def __init__(self) -> None:
        self.lost: list[Lost] = []
        self.blamed: list[Kind] = []
        self.requeued: list[str] = []
        self.replaced: list[str | None] = []
        self.looks = 0
        self.requests = Requests()
        self.children = Children()
        nothing: Any = None
        recorder: Any = SimpleNamespace(
            lost=lambda cause, items: self.lost.extend(items),
            requeue_fetched=self.requeued.append,
            look=self._look,
        )
        template = no_template()
        self.pool = ChildPool(Autoscale(minimum=1, maximum=1, threads=4), self.children, template, nothing)
        self.supervisor = Supervisor(
            SimpleNamespace(is_registered=True),  # type: ignore[arg-type]
            self.requests,
            self.children,
            recorder,
            Enforcer(grace_seconds=10.0, record=lambda end: None, blame=self.blamed.append),
            template,
            self.pool,
            nothing,
            SimpleNamespace(ended_its_process=self.blamed.append, tell=lambda child: None),  # type: ignore[arg-type]
            SimpleNamespace(turn=lambda children: None),  # type: ignore[arg-type]
            SimpleNamespace(child_ended=lambda child: None),  # type: ignore[arg-type]
            OomKills(),
            drain_seconds=1.0,
            on_exit=lambda index, why: self.replaced.append(why),
            on_retired=lambda why: None,
            on_turn=lambda alive, unready: None,
        )

    def _look(self) -> None:
        self.looks += 1

    def reap(self, child: Any) -> list[Guilt]:
        self.children.add(child)
        self.supervisor._turn(0.01)
        assert len(self.children) == 0
        return [item.guilt for item in self.lost]

    def pause(self, *, quarantine: bool) -> float:
        return self.pool._restarts[quarantine].pause


@pytest.fixture
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.requests.close()


def test_a_task_that_runs_in_a_child_that_another_one_broke_and_left_is_only_suspected(harness: Harness) -> None:
    child = DeadChild(1, broken="writer", ended_lately={("tests.other", "")}, code=EXIT_BROKEN)
    assert harness.reap(child) == [Guilt.SUSPECT]


@pytest.mark.parametrize(("begun", "guilt"), [(1, Guilt.GUILTY), (2, Guilt.SUSPECT)])
def test_what_a_dead_child_held_is_judged_and_recorded(harness: Harness, begun: int, guilt: Guilt) -> None:
    assert harness.reap(DeadChild(begun)) == [guilt] * begun
    assert {str(item.cause) for item in harness.lost} == {"killed by signal 11 (SIGSEGV)"}
    assert harness.requeued == ["its fetcher"]


def test_beside_a_fenced_attempt_that_may_still_have_run_a_task_is_only_suspected(harness: Harness) -> None:
    # The fenced attempt left the slot table when it was abandoned; its thread was still there.
    assert harness.reap(DeadChild(1, kill_at=time.monotonic() + 10)) == [Guilt.SUSPECT]


def test_tasks_of_a_child_that_the_supervisor_killed_are_innocent(harness: Harness) -> None:
    assert harness.reap(DeadChild(2, why_killed="a task beside it did not end")) == [Guilt.INNOCENT] * 2


@pytest.mark.parametrize("quarantine", [False, True])
def test_tasks_that_end_their_children_delay_no_other_child(harness: Harness, quarantine: bool) -> None:
    for _ in range(10):
        harness.reap(DeadChild(1, quarantine=quarantine))
    assert harness.pause(quarantine=True) <= 0
    assert harness.pause(quarantine=False) <= 0


def test_a_child_that_dies_after_its_tasks_have_ended_delays_no_other_child(harness: Harness) -> None:
    for _ in range(10):
        child = DeadChild(0)
        child.table.report(pid=1, tick=0, polled=0, fetched=0, wrote=0, runs=1)
        harness.reap(child)
    assert harness.pause(quarantine=False) <= 0


def test_only_a_proven_cause_of_a_child_s_end_counts_against_its_type(harness: Harness) -> None:
    harness.reap(DeadChild(2))
    harness.reap(DeadChild(1, why_killed="the worker stopped before it was finished"))
    assert harness.blamed == []
    harness.reap(DeadChild(1))
    assert harness.blamed == [("diagnostics.echo", "")]


@pytest.mark.parametrize("quarantine", [False, True])
def test_children_that_die_without_a_task_are_followed_more_slowly_by_their_kind_only(
    harness: Harness, quarantine: bool
) -> None:
    for _ in range(6):
        harness.reap(DeadChild(0, quarantine=quarantine))
    assert harness.pause(quarantine=quarantine) > 0
    assert harness.pause(quarantine=not quarantine) <= 0


def test_a_child_in_quarantine_that_is_not_needed_any_more_is_not_counted_as_replaced(harness: Harness) -> None:
    harness.reap(DeadChild(0, quarantine=True, retiring=True, code=0))
    harness.reap(DeadChild(0, retiring=True, code=0))
    assert harness.replaced == [None, "signal"]


@pytest.mark.parametrize("quarantine", [False, True])
def test_when_a_child_in_quarantine_ends_the_ledger_is_asked_at_once_who_still_waits(
    harness: Harness, quarantine: bool
) -> None:
    harness.reap(DeadChild(0, quarantine=quarantine))
    assert harness.looks == quarantine
