"""The enforcer: who is ended, when, and who pays nothing for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Cancelled, Failed, RetryIn
from taskyard_worker import enforcer
from taskyard_worker.desk import Desk, Slot
from taskyard_worker.enforcer import Enforcer
from taskyard_worker.slots import SlotTable
from taskyard_worker.verdict import Verdict

from .making import claim_some, make_desk, make_table


class Nothing(Params):
    pass


class Output(Result):
    pass


NAME = "tests.t" + "a" * 100  # as long as a name may be, and a bit less
TYPE = TaskType(name=NAME, description="", params=Nothing, result=Output, retry=RetryPolicy(jitter=False))


@dataclass
class Child:
    """A child as its handle shows it; its table is a real one."""

    table: SlotTable = field(default_factory=make_table)
    deaf: bool = False
    said: list[dict[str, Any]] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    verdicts: dict[Any, Verdict] = field(default_factory=dict)
    index: int = 0
    pid: int = 1
    retiring: bool = False
    is_condemned: bool = False
    end_at: float | None = None
    why_killed: str | None = None

    def __post_init__(self) -> None:
        self.desk: Desk = make_desk(table=self.table)

    def say(self, message: dict[str, Any]) -> None:
        self.said.append(message)

    def is_deaf(self, seconds: float) -> bool:
        return self.deaf

    def kill(self, why: str) -> None:
        self.kills.append(why)
        self.why_killed = self.why_killed or why

    def begin(self, **changes: Any) -> Slot:
        slot: Slot
        (slot,) = claim_some(self.desk, 1, **{"name": NAME, **changes})
        assert self.desk.begin(slot)
        return slot


class Yard:
    def __init__(self, grace_seconds: float = 10.0) -> None:
        self.condemned: list[Verdict] = []
        self.child = Child()
        self.enforcer = Enforcer(Catalogue([TYPE]), grace_seconds=grace_seconds, condemn=self.condemned.append)

    def turn(self) -> None:
        self.enforcer.turn([self.child])  # type: ignore[list-item]

    def cancel(self, slot: Slot) -> None:
        self.enforcer.cancel([(slot.task_id, slot.claim)], [self.child])  # type: ignore[list-item]

    def bury(self) -> list[Any]:
        return self.enforcer.bury(self.child, list(self.child.table.entries()))  # type: ignore[arg-type]


def overdue(**more: Any) -> dict[str, Any]:
    """Over with its beginning."""
    return {"hard_timeout_seconds": 1e-6, **more}


def test_what_runs_alone_past_its_limit_is_killed_once_and_recorded_after_its_exit() -> None:
    yard = Yard()
    yard.child.begin(**overdue())
    for _ in range(3):  # until the kernel has ended it
        yard.turn()
    assert len(yard.child.kills) == 1
    assert not yard.condemned
    assert yard.bury() == []
    (verdict,) = yard.condemned
    assert isinstance(verdict.outcome, RetryIn)
    assert verdict.outcome.fault.code == "hard_time_limit"
    assert verdict.outcome.delay == timedelta(seconds=60)


def test_beside_others_it_is_fenced_and_its_retry_waits_for_the_end_of_the_process() -> None:
    yard = Yard()
    first = yard.child.begin(**overdue())
    neighbour = yard.child.begin()
    yard.turn()
    yard.turn()
    (verdict,) = yard.condemned
    assert verdict.task_id == first.task_id
    assert [said["do"] for said in yard.child.said] == ["abandon"]
    assert yard.child.retiring
    assert not yard.child.kills
    yard.child.desk.forget([first])  # which is what the child does
    yard.child.end_at = time.monotonic()
    yard.turn()
    assert yard.child.kills, "the neighbour had its time"
    assert [entry.task_id for entry in yard.bury()] == [neighbour.task_id]


def test_outcomes_that_wait_for_postgresql_are_not_thrown_away_with_the_child() -> None:
    yard = Yard()
    for _ in range(5):
        yard.child.desk.finished(yard.child.begin(), 0.1)
    slow = yard.child.begin(**overdue())
    yard.turn()
    assert not yard.child.kills, "five outcomes would be lost"
    assert [verdict.task_id for verdict in yard.condemned] == [slow.task_id]
    yard.child.desk.forget([slow])
    yard.child.end_at = time.monotonic() - 60
    yard.turn()
    assert not yard.child.kills
    yard.child.deaf = True
    yard.turn()
    assert yard.child.kills, "it would never record them"


def test_a_child_that_does_not_answer_is_killed_whatever_else_it_runs() -> None:
    yard = Yard()
    yard.child.deaf = True
    yard.child.begin(**overdue())
    neighbour = yard.child.begin()
    yard.turn()
    assert len(yard.child.kills) == 1
    assert [entry.task_id for entry in yard.bury()] == [neighbour.task_id]
    assert len(yard.condemned) == 1


def test_a_cancellation_is_passed_on_once_and_forced_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    late = 0.0
    monkeypatch.setattr(enforcer, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + late))
    yard = Yard(grace_seconds=60)
    slot = yard.child.begin()
    for _ in range(3):  # with each beat
        yard.cancel(slot)
    assert [said["do"] for said in yard.child.said] == ["cancel"]
    yard.turn()
    assert not yard.child.kills
    late = 60.0
    yard.turn()
    assert yard.child.kills
    yard.bury()
    (verdict,) = yard.condemned
    assert verdict.outcome == Cancelled("it did not stop within 60 s", forced=True)


def test_what_ended_in_the_nick_of_time_keeps_its_own_end() -> None:
    yard = Yard()
    slot = yard.child.begin(**overdue())
    yard.turn()
    yard.child.desk.forget([slot])  # recorded before the kill
    assert yard.bury() == []
    assert not yard.condemned


def test_a_type_that_only_the_child_knows_is_judged_by_the_usual_policy() -> None:
    yard = Yard()
    yard.child.begin(**overdue(name="tests.of_a_newer_version", failures=3))
    yard.turn()
    yard.bury()
    assert isinstance(yard.condemned[0].outcome, Failed)


def test_nothing_is_kept_of_what_has_ended() -> None:
    yard = Yard()
    for _ in range(50):
        slots = [yard.child.begin(**overdue()), yard.child.begin()]
        for slot in slots:
            yard.cancel(slot)
        yard.turn()
        yard.child.desk.forget(slots)
        yard.turn()
    assert not yard.enforcer._cancels
    assert not yard.enforcer._fenced
