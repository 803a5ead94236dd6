"""Judgement: which task pays for the death of a child."""

from __future__ import annotations

from typing import Any

import pytest

from taskyard.lifecycle.rescue import Guilt
from taskyard_worker.quarantine import judge
from taskyard_worker.slots import Entry

from .making import claim_some, make_claim_table, make_slot_table

CRASH = "killed by signal 11 (SIGSEGV)"
PEAK = 1 << 20


def held(*, begun: int, claimed: int = 0, finished: int = 0) -> list[Entry]:
    """What a child held that had begun so many tasks."""
    table = make_slot_table(8)
    claims = make_claim_table(8, table=table)
    for slot in claim_some(claims, begun + finished):
        claims.begin(slot)
    for slot in list(claims._slots.values())[:finished]:
        claims.finished(slot, 0.1)
    claim_some(claims, claimed)
    return sorted(table.entries(), key=lambda entry: entry.phase)


def guilt(entries: list[Entry], **death: Any) -> list[Guilt]:
    return [item.guilt for item in judge(entries, CRASH, PEAK, **death).values()]


def test_the_only_task_that_had_begun_is_guilty() -> None:
    assert guilt(held(begun=1)) == [Guilt.GUILTY]


def test_of_several_that_had_begun_each_is_suspected() -> None:
    assert guilt(held(begun=3)) == [Guilt.SUSPECT] * 3


def test_beside_a_task_that_ended_its_child_what_had_not_begun_or_had_finished_is_displaced() -> None:
    assert guilt(held(begun=1, claimed=2, finished=1)) == [
        Guilt.DISPLACED,
        Guilt.DISPLACED,
        Guilt.GUILTY,
        Guilt.DISPLACED,
    ]


def test_what_an_idle_child_held_is_innocent() -> None:
    assert guilt(held(begun=0, claimed=1, finished=1)) == [Guilt.INNOCENT] * 2


@pytest.mark.parametrize("begun", [1, 2])
def test_in_a_child_that_was_killed_for_a_task_s_sake_the_others_are_displaced(begun: int) -> None:
    blamed = [("some.type", "")]
    assert guilt(held(begun=begun), was_killed_by_us=True, blamed=blamed) == [Guilt.DISPLACED] * begun


def test_what_has_the_type_and_the_submitter_of_the_task_at_fault_is_alike() -> None:
    entries = held(begun=2)
    assert guilt(entries, was_killed_by_us=True, blamed=[entries[0].kind]) == [Guilt.ALIKE] * 2


@pytest.mark.parametrize("begun", [1, 2])
def test_in_a_child_that_the_supervisor_killed_every_task_is_innocent(begun: int) -> None:
    assert guilt(held(begun=begun), was_killed_by_us=True) == [Guilt.INNOCENT] * begun


def test_a_fenced_attempt_that_may_still_have_run_is_as_suspicious_as_the_task_beside_it() -> None:
    assert guilt(held(begun=1), ran_fenced_attempt=True) == [Guilt.SUSPECT]


def test_every_claim_that_was_held_is_lost_with_its_claim_id_and_the_cause() -> None:
    entries = held(begun=1, claimed=1)
    lost = list(judge(entries, CRASH, PEAK).values())
    assert [(item.task_id, item.claim) for item in lost] == [(e.task_id, e.claim) for e in entries]
    assert {(item.cause, item.peak_memory_bytes) for item in lost} == {(CRASH, PEAK)}
    assert judge([], CRASH, PEAK) == {}
