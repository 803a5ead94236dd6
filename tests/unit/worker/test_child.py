"""Cancellations and soft limits reach a task whatever state its claim is in."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from taskyard.domain.errors import Interrupt, SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.tasks import Cancelled
from taskyard_worker.child.child import Interrupter
from taskyard_worker.child.slot import Slot
from taskyard_worker.child.writer import End
from taskyard_worker.slots import Phase

from .making import claim_some, claimed, make_claim_table


class Run:
    """A task's run that hears, or does not hear yet."""

    interrupted_thread = met_soft_limit = False

    def __init__(self, *, hears: bool = True) -> None:
        self.hears = hears
        self.heard: list[type[Interrupt]] = []

    def interrupt(self, kind: type[Interrupt]) -> bool:
        if self.hears:
            self.heard.append(kind)
        return self.hears

    def check(self) -> None:
        pass


class Harness:
    def __init__(self) -> None:
        self.claims = make_claim_table()
        self.ends: list[End] = []
        self.notes: list[str] = []
        self.interrupter = Interrupter(self.claims, self)

    def end(self, end: End) -> None:
        self.ends.append(end)

    def progress(self, *_: object) -> None: ...

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self.notes.append(kind)

    def claim(self, **changes: Any) -> Slot:
        slot: Slot
        (slot,) = claim_some(self.claims, 1, **changes)
        return slot

    def cancel(self, slot: Slot) -> None:
        self.interrupter.cancel(slot.task_id, slot.claim)


def test_a_claim_that_has_not_begun_is_withdrawn() -> None:
    harness = Harness()
    slot = harness.claim()
    harness.cancel(slot)
    (end,) = harness.ends
    assert isinstance(end.outcome, Cancelled)
    assert end.run_seconds is None
    assert not harness.claims.begin(slot, Run())


def test_a_claim_whose_answer_is_on_its_way_is_cancelled_when_it_is_there() -> None:
    harness = Harness()
    claim = uuid4()
    work = claimed(claim=claim)
    (slot,) = harness.claims.enter([work.id], claim)
    harness.cancel(slot)
    assert not harness.ends
    harness.claims.settle([slot], [work])
    assert not harness.claims.begin(slot, Run())
    harness.interrupter.turn()
    assert len(harness.ends) == 1
    assert slot.phase is Phase.FINISHED


def test_a_claim_that_was_not_won_is_forgotten() -> None:
    harness = Harness()
    claim = uuid4()
    (slot,) = harness.claims.enter([uuid4()], claim)
    harness.cancel(slot)
    harness.claims.settle([slot], [])
    harness.interrupter.turn()
    assert not harness.ends
    assert not harness.interrupter._cancellations


def test_a_task_that_cannot_be_interrupted_now_is_interrupted_at_the_next_turn_once() -> None:
    harness = Harness()
    slot, run = harness.claim(), Run(hears=False)
    harness.claims.begin(slot, run)
    harness.cancel(slot)
    run.hears = True
    for _ in range(3):
        harness.interrupter.turn()
    assert run.heard == [TaskCancelled]
    assert harness.notes == ["cancel_delivered"]


def test_the_soft_limit_is_told_once() -> None:
    harness = Harness()
    slot, run = harness.claim(soft_timeout_seconds=0.0), Run()
    harness.claims.begin(slot, run)
    for _ in range(3):
        harness.interrupter.turn()
    assert run.heard == [SoftTimeLimitExceeded]
    assert harness.notes == ["soft_time_limit"]
