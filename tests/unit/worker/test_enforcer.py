"""The enforcer: which attempt is ended, when, and which tasks pay nothing for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from taskyard.catalogue.spec import TaskSpec, spec_of
from taskyard.catalogue.types import Params, Result, TaskType
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Cancelled, Failed, RetryIn
from taskyard_worker.child.claim_table import ClaimTable
from taskyard_worker.child.slot import Slot
from taskyard_worker.slots import Kind, SlotTable
from taskyard_worker.supervisor import enforcer
from taskyard_worker.supervisor.enforcer import Enforcer
from taskyard_worker.supervisor.handle import ForcedEnd

from .making import claim_some, make_claim_table, make_slot_table


class Nothing(Params):
    pass


class Output(Result):
    pass


NAME = "tests.t" + "a" * 100  # as long as a name may be, and a bit less
TYPE = TaskType(name=NAME, description="", params=Nothing, result=Output, retry=RetryPolicy(jitter=False))


@dataclass
class Child:
    """A child as its handle shows it; its table is a real one."""

    table: SlotTable = field(default_factory=make_slot_table)
    unresponsive: bool = False
    said: list[dict[str, Any]] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    forced_ends: dict[Any, ForcedEnd] = field(default_factory=dict)
    index: int = 0
    pid: int = 1
    retiring: bool = False
    is_enforced: bool = False
    kill_at: float | None = None
    blamed: set[Kind] = field(default_factory=set)
    why_killed: str | None = None
    types: dict[str, TaskSpec] = field(default_factory=lambda: {NAME: spec_of(TYPE)})

    def __post_init__(self) -> None:
        self.claims: ClaimTable = make_claim_table(table=self.table)

    def send(self, message: dict[str, Any]) -> None:
        self.said.append(message)

    def is_unresponsive(self, seconds: float) -> bool:
        return self.unresponsive

    def kill(self, why: str) -> None:
        self.kills.append(why)
        self.why_killed = self.why_killed or why

    def begin(self, **changes: Any) -> Slot:
        slot: Slot
        (slot,) = claim_some(self.claims, 1, **{"name": NAME, **changes})
        assert self.claims.begin(slot)
        return slot


class Harness:
    def __init__(self, grace_seconds: float = 10.0) -> None:
        self.recorded: list[ForcedEnd] = []
        self.child = Child()
        self.blamed: list[Kind] = []
        self.enforcer = Enforcer(grace_seconds=grace_seconds, record=self.recorded.append, blame=self.blamed.append)

    def turn(self) -> None:
        self.enforcer.turn([self.child])  # type: ignore[list-item]

    def cancel(self, slot: Slot) -> None:
        self.enforcer.cancel([(slot.task_id, slot.claim)], [self.child])  # type: ignore[list-item]

    def child_ended(self) -> list[Any]:
        return self.enforcer.child_ended(self.child, list(self.child.table.entries()))  # type: ignore[arg-type]


def overdue(**more: Any) -> dict[str, Any]:
    """Over with its beginning."""
    return {"hard_timeout_seconds": 1e-6, **more}


def test_a_task_alone_in_its_child_past_its_limit_is_killed_once_and_recorded_after_the_exit() -> None:
    harness = Harness()
    harness.child.begin(**overdue())
    for _ in range(3):  # until the kernel has ended it
        harness.turn()
    assert len(harness.child.kills) == 1
    assert not harness.recorded
    assert harness.child_ended() == []
    (end,) = harness.recorded
    assert isinstance(end.outcome, RetryIn)
    assert end.outcome.fault.code == "hard_time_limit"
    assert end.outcome.delay == timedelta(seconds=60)


def test_a_task_beside_others_past_its_limit_is_fenced_and_retried_after_the_end_of_the_process() -> None:
    harness = Harness()
    first = harness.child.begin(**overdue())
    other = harness.child.begin()
    harness.turn()
    harness.turn()
    (end,) = harness.recorded
    assert end.task_id == first.task_id
    assert [said["do"] for said in harness.child.said] == ["abandon"]
    assert harness.child.retiring
    assert not harness.child.kills
    harness.child.claims.forget([first])  # which is what the child does
    harness.child.kill_at = time.monotonic()
    harness.turn()
    assert harness.child.kills, "the other task had its time"
    assert [entry.task_id for entry in harness.child_ended()] == [other.task_id]


def test_outcomes_that_wait_for_postgresql_are_not_thrown_away_with_the_child() -> None:
    harness = Harness()
    for _ in range(5):
        harness.child.claims.finished(harness.child.begin(), 0.1)
    slow = harness.child.begin(**overdue())
    harness.turn()
    assert not harness.child.kills, "five outcomes would be lost"
    assert [end.task_id for end in harness.recorded] == [slow.task_id]
    harness.child.claims.forget([slow])
    harness.child.kill_at = time.monotonic() - 60
    harness.turn()
    assert not harness.child.kills
    harness.child.unresponsive = True
    harness.turn()
    assert harness.child.kills, "it would never record them"


def test_a_child_that_does_not_answer_is_killed_whatever_else_it_runs() -> None:
    harness = Harness()
    harness.child.unresponsive = True
    harness.child.begin(**overdue())
    other = harness.child.begin()
    harness.turn()
    assert len(harness.child.kills) == 1
    assert [entry.task_id for entry in harness.child_ended()] == [other.task_id]
    assert len(harness.recorded) == 1


def test_a_cancellation_is_passed_on_once_and_forced_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    late = 0.0
    monkeypatch.setattr(enforcer, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + late))
    harness = Harness(grace_seconds=60)
    slot = harness.child.begin()
    for _ in range(3):  # with each beat
        harness.cancel(slot)
    assert [said["do"] for said in harness.child.said] == ["cancel"]
    harness.turn()
    assert not harness.child.kills
    late = 60.0
    harness.turn()
    assert harness.child.kills
    harness.child_ended()
    (end,) = harness.recorded
    assert end.outcome == Cancelled("it did not stop within 60 s", forced=True)


def test_an_attempt_that_was_recorded_before_the_kill_keeps_its_own_end() -> None:
    harness = Harness()
    slot = harness.child.begin(**overdue())
    harness.turn()
    harness.child.claims.forget([slot])  # recorded before the kill
    assert harness.child_ended() == []
    assert not harness.recorded


def test_a_type_that_only_the_child_knows_is_judged_by_the_usual_policy() -> None:
    harness = Harness()
    harness.child.begin(**overdue(name="tests.of_a_newer_version", failures=3))
    harness.turn()
    harness.child_ended()
    assert isinstance(harness.recorded[0].outcome, Failed)


def test_the_enforcer_keeps_nothing_about_ended_attempts() -> None:
    harness = Harness()
    for _ in range(50):
        slots = [harness.child.begin(**overdue()), harness.child.begin()]
        for slot in slots:
            harness.cancel(slot)
        harness.turn()
        harness.child.claims.forget(slots)
        harness.turn()
    assert not harness.enforcer._cancel_by
    assert not harness.enforcer._fenced


def test_what_ends_a_process_is_blamed_once_for_it_by_type_and_submitter() -> None:
    harness = Harness()
    for submitter in ("ada", "ada", None):
        harness.child.begin(**overdue(submitted_by=submitter))
    harness.child.begin()
    for _ in range(3):
        harness.turn()
    assert sorted(harness.blamed) == [(NAME, ""), (NAME, "ada")]
    assert harness.child.blamed == set(harness.blamed)
