"""The living children, as the recorder's thread sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from taskyard_worker.slots import Phase
from taskyard_worker.supervisor.children import Children

from .dead_child import DeadChild


@pytest.fixture
def given() -> Iterator[list[Any]]:
    made = [DeadChild(1, pid=1, index=0), DeadChild(2, pid=2, index=2)]
    yield made
    for child in made:
        child.close()


@pytest.fixture
def children(given: list[Any]) -> Children:
    made = Children()
    for child in given:
        made.add(child)
    return made


def test_a_heartbeat_names_each_child_and_what_runs_in_it(children: Children, given: list[Any]) -> None:
    worker_id = uuid4()
    beat = children.beat(worker_id, "draining")
    assert (beat.worker_id, beat.state) == (worker_id, "draining")
    assert [(child["index"], child["pid"], len(child["running"])) for child in beat.children] == [(0, 1, 1), (2, 2, 2)]
    running = [entry.task_id for child in given for entry in child.table.entries()]
    assert sorted(beat.begun) == sorted(running)
    assert (beat.memory_bytes or 0) > 1 << 20, "the supervisor's own memory at least"


def test_attempts_that_ended_are_counted_also_of_children_that_are_no_more(
    children: Children, given: list[Any]
) -> None:
    given[0].table.count({"succeeded": 3, "failed": 1, "released": 7})
    given[1].table.count({"succeeded": 2, "retrying": 4})
    expected = {"succeeded": 5, "failed": 1, "retrying": 4, "cancelled": 0}
    assert children.beat(uuid4(), "running").attempts == expected
    children.remove(given[0])
    assert children.beat(uuid4(), "running").attempts == expected


def test_only_begun_tasks_are_listed_as_running_and_all_claims_are_held(children: Children, given: list[Any]) -> None:
    given[0].table.set_phase(next(i for i in range(given[0].table.size) if _phase(given[0], i)), Phase.CLAIMED)
    assert len(children.beat(uuid4(), "running").begun) == 2
    assert len(children.claims("w")) == 3
    assert {claim.worker for claim in children.claims("w")} == {"w:0", "w:2"}


def _phase(child: Any, index: int) -> int:
    return int(child.table._map[child.table._at(index)])


def test_a_child_that_was_removed_holds_nothing_and_its_index_is_free(children: Children, given: list[Any]) -> None:
    (task_id,) = [str(entry.task_id) for entry in given[0].table.entries()]
    assert children.free_index() == 1
    assert children.hold_any([task_id, "another"])
    children.remove(given[0])
    assert not children.hold_any([task_id])
    assert children.free_index() == 0
    assert len(children) == 1
