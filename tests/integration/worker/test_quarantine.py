"""Quarantine: suspects come one at a time, and none keeps the others waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle import claim as claims
from taskyard.lifecycle.claim import Claimed
from taskyard_worker.quarantine import consumer as quarantine_module
from taskyard_worker.child.claim_table import Slot
from taskyard_worker.quarantine.consumer import QuarantineLane

from .harness import NAME, QUEUES, Bench


class Ward:
    """A quarantine lane over the real ledger, whose claims can be made to fail."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.desk = bench.desk(threads=1)
        self.unreadable: set[UUID] = set()
        self.is_away = False
        self.given_up: list[UUID] = []
        self.won: list[UUID] = []
        self.lane = QuarantineLane(
            self.desk,
            suspects=lambda: bench.run(lambda conn: claims.suspects(conn, QUEUES, types=[NAME])),
            claim=self.claim,
            give_up=lambda task_id, claim, error: self.given_up.append(task_id),
            won=lambda changes, works: self.won.extend(w.id for w in works),
        )

    def put(self, count: int) -> list[UUID]:
        ids = self.bench.submit(count)
        self.bench.execute("UPDATE task SET suspicions = 1 WHERE id = ANY(:ids)", ids=ids)
        return ids

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        if self.is_away:
            raise LedgerUnavailable("as asked")
        works: list[Claimed] = self.bench.run(
            lambda conn: claims.claim(
                conn, ids, claim=claim, worker_id=self.bench.worker_id, worker="w:0", types=[NAME], alone=True
            )
        )
        if not self.unreadable.isdisjoint(ids):
            raise ValueError("a row that cannot be read")
        return works

    def next(self) -> Slot | None:
        message = self.lane.next_message()
        if message is None:
            return None
        slot: Any = message.args[0]
        assert isinstance(slot, Slot)
        return slot


@pytest.fixture
def ward(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setattr(quarantine_module, "_LOOK_SECONDS", 0.01)
    return Ward(bench)


def test_suspects_come_one_at_a_time_in_their_order(ward: Ward) -> None:
    ids = ward.put(3)
    came = []
    while (slot := ward.next()) is not None:
        came.append(slot.task_id)
        assert ward.desk.begin(slot)
        assert ward.next() is None, "not while another runs"
        ward.desk.finished(slot, 0.1)
        assert ward.next() is None, "nor while its end is not recorded"
        ward.desk.forget([slot])
    assert came == ward.won == ids


def test_one_that_cannot_be_read_is_given_up_and_the_next_one_comes(ward: Ward) -> None:
    bad, good = ward.put(2)
    ward.unreadable = {bad}
    slot = ward.next()
    assert slot is not None
    assert slot.task_id == good
    assert ward.given_up == [bad]
    assert ward.desk.busy == 1


def test_while_the_ledger_is_away_it_waits_and_holds_nothing(ward: Ward) -> None:
    (task_id,) = ward.put(1)
    ward.is_away = True
    assert ward.next() is None
    assert ward.desk.busy == 0
    ward.is_away = False
    slot = ward.next()
    assert slot is not None
    assert slot.task_id == task_id


def test_without_suspects_it_is_idle_after_a_while(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ward.next() is None
    idle = [ward.lane.is_idle]
    monkeypatch.setattr(quarantine_module, "_IDLE_SECONDS", 0.0)
    idle.append(ward.lane.is_idle)
    ward.put(1)
    assert ward.next() is not None
    assert [*idle, ward.lane.is_idle] == [False, True, False], "not at once, and not while something runs"


def test_drained_it_takes_no_more(ward: Ward) -> None:
    ward.put(1)
    ward.lane.drain()
    assert ward.next() is None
    assert ward.lane.is_drained
