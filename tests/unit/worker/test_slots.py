"""The slot table: what a supervisor reads of a child, at any moment and after its death."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from taskyard.catalogue.types import MAX_NAME_BYTES
from taskyard_worker.slots import Phase, SlotTable

from .making import claimed, make_slot_table

DESCRIBE_FOR_EVER = """
import sys
from types import SimpleNamespace
from uuid import UUID
from taskyard_worker.slots import SlotTable

work = SimpleNamespace(name="n" * 64, attempt=5, failures=1, max_attempts=4)
table = SlotTable(int(sys.argv[1]), int(sys.argv[2]))
table.enter(0, UUID(int=1), UUID(int=2))
table.report(pid=1, tick=1.0, polled=1.0, fetched=1.0, wrote=1.0, runs=1)
print(flush=True)
while True:
    table.describe(0, work, hard_seconds=2.0, expires=False)
    table.report(pid=1, tick=1.0, polled=1.0, fetched=1.0, wrote=1.0, runs=1)
"""
DIE_HOLDING = """
import os, sys
from uuid import UUID
from taskyard_worker.slots import SlotTable

SlotTable(int(sys.argv[1]), 8).enter(5, UUID(sys.argv[2]), UUID(int=1))
os.kill(os.getpid(), 9)
"""


def describe(table: SlotTable, index: int, name: str, attempt: int) -> None:
    table.describe(index, claimed(name=name, attempt=attempt, failures=2), hard_seconds=600.0, expires=True)


def test_a_claim_is_seen_with_all_that_is_known_of_it_in_each_phase() -> None:
    table = make_slot_table()
    task, claim = uuid4(), uuid4()
    before = time.monotonic()
    table.enter(3, task, claim)
    (entry,) = table.entries()
    assert (entry.phase, entry.task_id, entry.claim, entry.begun_at) == (Phase.CLAIMING, task, claim, 0.0)
    assert before <= entry.claimed_at <= time.monotonic()

    describe(table, 3, "email.send", 7)
    table.set_phase(3, Phase.CLAIMED)
    table.begin(3)
    (entry,) = table.entries()
    assert (entry.phase, entry.name, entry.attempt) == (Phase.BEGUN, "email.send", 7)
    assert (entry.failures, entry.max_attempts, entry.hard_seconds, entry.expires) == (2, 4, 600.0, True)
    assert (entry.task_id, entry.claim) == (task, claim)
    assert entry.claimed_at <= entry.begun_at <= time.monotonic()

    table.set_phase(3, Phase.FREE)
    assert list(table.entries()) == []


def test_a_slot_that_is_used_again_shows_nothing_of_the_claim_before() -> None:
    table = make_slot_table()
    table.enter(0, uuid4(), uuid4())
    describe(table, 0, "email.send_welcome", 9)
    table.begin(0)
    table.set_phase(0, Phase.FREE)
    table.enter(0, uuid4(), uuid4())
    (entry,) = table.entries()
    assert (entry.name, entry.attempt, entry.begun_at, entry.hard_seconds) == ("", 0, 0, 0)
    assert (entry.failures, entry.max_attempts, entry.expires) == (0, 0, False)


def test_a_long_name_is_cut_and_the_entries_beside_it_stay_as_they_were() -> None:
    table = make_slot_table()
    for index in range(3):
        table.enter(index, UUID(int=index), UUID(int=index))
    describe(table, 1, "ü" * 100, 1)
    names = [entry.name for entry in table.entries()]
    assert names == ["", "ü" * (MAX_NAME_BYTES // 2), ""]
    assert [entry.task_id for entry in table.entries()] == [UUID(int=0), UUID(int=1), UUID(int=2)]


def test_counts_of_ends_and_reports_leave_each_other_and_the_claims_alone() -> None:
    table = SlotTable.create(8)
    table.enter(0, UUID(int=1), UUID(int=2))
    table.count({"succeeded": 2**40, "cancelled": 1})
    table.report(pid=7, tick=1.0, polled=2.0, fetched=3.0, wrote=4.0, runs=5)
    assert table.ends() == {"succeeded": 2**40, "failed": 0, "retrying": 0, "cancelled": 1}
    assert (table.header().pid, table.header().runs) == (7, 5)
    assert [entry.task_id for entry in table.entries()] == [UUID(int=1)]


def test_a_reader_never_misses_a_claim_that_is_being_described() -> None:
    # `struct.pack_into` clears the place first: a child killed in that moment would have lost the claim.
    table = SlotTable.create(8)
    arguments = [str(table.fd), str(table.size)]
    writer = subprocess.Popen(
        [sys.executable, "-c", DESCRIBE_FOR_EVER, *arguments], pass_fds=[table.fd], stdout=subprocess.PIPE
    )
    table.hand_down()
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            (entry,) = table.entries()
            assert (entry.task_id, entry.claim) == (UUID(int=1), UUID(int=2))
            assert table.header().wrote == 1.0
    finally:
        writer.kill()
        writer.communicate()


@pytest.mark.long
def test_the_table_outlives_the_child_and_leaves_no_descriptor_behind() -> None:
    before = open_descriptors()
    table = SlotTable.create(8)
    task = uuid4()
    arguments = [sys.executable, "-c", DIE_HOLDING, str(table.fd), str(task)]
    assert subprocess.run(arguments, pass_fds=[table.fd], check=False).returncode == -9
    table.hand_down()
    assert [entry.task_id for entry in table.entries()] == [task]
    table.close()
    assert open_descriptors() == before


def open_descriptors() -> int:
    gc.collect()  # tables of tests before this one hold theirs until then
    return len(list(Path("/proc/self/fd").iterdir()))
