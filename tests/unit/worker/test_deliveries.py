"""Cancellations and soft limits reach a task whatever its claim is about to do."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from taskyard.domain.errors import Interrupt, SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.tasks import Cancelled
from taskyard_worker.deliveries import Deliveries
from taskyard_worker.desk import Slot
from taskyard_worker.slots import Phase
from taskyard_worker.writer import End

from .making import claim_some, claimed, make_desk


class Run:
    """A task's run that hears, or does not hear yet."""

    is_touched = met_soft_limit = False

    def __init__(self, *, hears: bool = True) -> None:
        self.hears = hears
        self.heard: list[type[Interrupt]] = []

    def interrupt(self, kind: type[Interrupt]) -> bool:
        if self.hears:
            self.heard.append(kind)
        return self.hears

    def check(self) -> None:
        pass


class Yard:
    def __init__(self) -> None:
        self.desk = make_desk()
        self.ends: list[End] = []
        self.notes: list[str] = []
        self.deliveries = Deliveries(self.desk, self)

    def end(self, end: End) -> None:
        self.ends.append(end)

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self.notes.append(kind)

    def claim(self, **changes: Any) -> Slot:
        slot: Slot
        (slot,) = claim_some(self.desk, 1, **changes)
        return slot

    def cancel(self, slot: Slot) -> None:
        self.deliveries.cancel(slot.task_id, slot.claim)


def test_a_claim_that_has_not_begun_is_withdrawn() -> None:
    yard = Yard()
    slot = yard.claim()
    yard.cancel(slot)
    (end,) = yard.ends
    assert isinstance(end.outcome, Cancelled)
    assert end.run_seconds is None
    assert not yard.desk.begin(slot, Run())


def test_a_claim_whose_answer_is_on_its_way_is_cancelled_when_it_is_there() -> None:
    yard = Yard()
    claim = uuid4()
    work = claimed(claim=claim)
    (slot,) = yard.desk.enter([work.id], claim)
    yard.cancel(slot)
    assert not yard.ends
    yard.desk.settle([slot], [work])
    yard.deliveries.turn()
    assert len(yard.ends) == 1
    assert slot.phase is Phase.FINISHED


def test_a_claim_that_was_not_won_is_forgotten() -> None:
    yard = Yard()
    claim = uuid4()
    (slot,) = yard.desk.enter([uuid4()], claim)
    yard.cancel(slot)
    yard.desk.settle([slot], [])
    yard.deliveries.turn()
    assert not yard.ends
    assert not yard.deliveries._cancels


def test_what_cannot_hear_now_is_told_with_the_next_turn_and_once() -> None:
    yard = Yard()
    slot, run = yard.claim(), Run(hears=False)
    yard.desk.begin(slot, run)
    yard.cancel(slot)
    run.hears = True
    for _ in range(3):
        yard.deliveries.turn()
    assert run.heard == [TaskCancelled]
    assert yard.notes == ["cancel_delivered"]


def test_the_soft_limit_is_told_once() -> None:
    yard = Yard()
    slot, run = yard.claim(soft_timeout_seconds=0.0), Run()
    yard.desk.begin(slot, run)
    for _ in range(3):
        yard.deliveries.turn()
    assert run.heard == [SoftTimeLimitExceeded]
    assert yard.notes == ["soft_time_limit"]
