"""Quarantine: suspects come one at a time, and none keeps the others waiting."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed
from taskyard_worker.child.slot import Slot
from taskyard_worker.quarantine import consumer as quarantine_module
from taskyard_worker.quarantine.consumer import SuspectConsumer
from tests.support.fleet import wait_for

from .harness import NAME, QUEUES, Harness


class SuspectHarness:
    """A consumer of suspects over the real ledger, whose claims can be made to fail."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.table = harness.claim_table(threads=3)
        self.unreadable: set[UUID] = set()
        self.is_away = False
        self.failed: list[UUID] = []
        self.won: list[UUID] = []
        self.consumer = SuspectConsumer(self.table, self)

    def put(self, count: int) -> list[UUID]:
        ids = self.harness.submit(count)
        self.harness.execute("UPDATE task SET suspicions = 1 WHERE id = ANY(:ids)", ids=ids)
        return ids

    def set_apart(self) -> dict[UUID, str | None]:
        found: dict[UUID, str | None] = self.harness.run(lambda conn: claims.set_apart(conn, QUEUES, types={NAME: 1}))
        return found

    def fail_unreadable(self, task_id: UUID, claim: UUID, error: Exception) -> None:
        self.failed.append(task_id)

    def count(self, won: Sequence[Claimed]) -> None:
        self.won.extend(work.id for work in won)

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        if self.is_away:
            raise LedgerUnavailable("as asked")
        works: list[Claimed] = self.harness.run(
            lambda conn: (
                claims.claim(
                    conn, ids, claim=claim, worker_id=self.harness.worker_id, worker="w:0", types={NAME: 1}, apart=True
                ).answer
            )
        )
        if not self.unreadable.isdisjoint(ids):
            raise ValueError("a row that cannot be read")
        return works

    def next(self) -> Slot | None:
        message = self.consumer.next_message()
        if message is None:
            return None
        slot = self.table.waiting.take()
        assert slot is not None
        assert self.table.waiting.take() is None
        return slot


@pytest.fixture
def quarantine(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> SuspectHarness:
    monkeypatch.setattr(quarantine_module, "_LOOK_SECONDS", 0.01)
    return SuspectHarness(harness)


def test_suspects_come_one_at_a_time_in_their_order(quarantine: SuspectHarness) -> None:
    ids = quarantine.put(3)
    came = []
    for _ in ids:
        slot = wait_for(quarantine.next, 5, "the next one, once the last one cannot have broken the child")
        assert slot is not None
        came.append(slot.task_id)
        assert quarantine.table.begin(slot)
        assert quarantine.next() is None, "not while another runs"
        quarantine.table.finished(slot, 0.1)
        quarantine.table.freed(slot, 0.1)
        assert quarantine.next() is None, "nor while its end is not recorded"
        quarantine.table.forget([slot])
    assert quarantine.next() is None
    assert came == quarantine.won == ids


def test_only_what_is_of_one_kind_shares_a_child(quarantine: SuspectHarness) -> None:
    first, other, second = quarantine.harness.submit(3)
    quarantine.harness.execute("UPDATE task SET displacements = 1")
    quarantine.harness.execute("UPDATE task SET submitted_by = 'mallory' WHERE id = :id", id=other)
    slots = [quarantine.next() for _ in range(3)]
    assert [slot and slot.task_id for slot in slots] == [first, second, None]
    for slot in slots[:2]:
        assert slot is not None
        assert quarantine.table.begin(slot)
        quarantine.table.finished(slot, 0.1)
        quarantine.table.freed(slot, 0.1)
        quarantine.table.forget([slot])
    slot = quarantine.next()
    assert slot is not None
    assert slot.task_id == other


def test_each_claim_calls_a_thread_also_while_those_called_before_have_not_come(quarantine: SuspectHarness) -> None:
    quarantine.harness.submit(3)
    quarantine.harness.execute("UPDATE task SET displacements = 1")
    assert all(quarantine.consumer.next_message() for _ in range(3))
    slots = [quarantine.table.waiting.take() for _ in range(4)]
    assert [slot and slot.task_id for slot in slots] == [*quarantine.won, None]
    assert quarantine.table.waiting.add([slot for slot in slots if slot]) == 3, "no thread counts as called for ever"


def test_a_suspect_that_cannot_be_read_is_failed_and_the_next_one_runs(quarantine: SuspectHarness) -> None:
    bad, good = quarantine.put(2)
    quarantine.unreadable = {bad}
    slot = quarantine.next()
    assert slot is not None
    assert slot.task_id == good
    assert quarantine.failed == [bad]
    assert quarantine.table.busy == 1


def test_while_the_ledger_is_away_it_waits_and_holds_nothing(quarantine: SuspectHarness) -> None:
    (task_id,) = quarantine.put(1)
    quarantine.is_away = True
    assert quarantine.next() is None
    assert quarantine.table.busy == 0
    quarantine.is_away = False
    slot = quarantine.next()
    assert slot is not None
    assert slot.task_id == task_id


def test_without_suspects_it_retires_after_a_while(quarantine: SuspectHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quarantine.next() is None
    why = [quarantine.consumer.why_retire()]
    monkeypatch.setattr(quarantine_module, "_IDLE_SECONDS", 0.0)
    why.append(quarantine.consumer.why_retire())
    quarantine.put(1)
    assert quarantine.next() is not None
    why.append(quarantine.consumer.why_retire())
    assert why == [None, "no_suspects", None], "not at once, and not while something runs"


def test_after_an_interrupt_in_its_thread_it_retires(quarantine: SuspectHarness) -> None:
    quarantine.table.interrupted_thread = True
    assert quarantine.consumer.why_retire() == "interrupted"


def test_drained_it_takes_no_more(quarantine: SuspectHarness) -> None:
    quarantine.put(1)
    quarantine.consumer.drain()
    assert quarantine.next() is None
    assert quarantine.consumer.is_drained
