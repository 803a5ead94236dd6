"""A child in which a task has ended a thread of the platform ends at once: who ran pays, and what has ended is kept."""

from __future__ import annotations

import pytest

from tests.integration.worker.processes import LedgerFleet, lines
from tests.integration.worker.test_copies import sick, told
from tests.support.effects import effects
from tests.support.fleet import children, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["sick"]

THREADS = {
    "writer": "writer",
    "dispatcher": "dispatcher",
    "MainThread": "main",
    "ConsumerThread": "consumer",
    "WorkerThread": "task thread",
}


@pytest.mark.parametrize(
    "thread",
    [
        pytest.param(
            name, marks=pytest.mark.long if name in {"writer", "dispatcher", "MainThread", "ConsumerThread"} else ()
        )
        for name in THREADS
    ],
)
def test_a_task_that_ends_a_thread_of_the_platform_pays_and_its_neighbours_lose_nothing(
    sick: LedgerFleet, thread: str
) -> None:
    worker = sick.fleet.start_worker(threads=4)
    (first,) = children(worker.pid)
    short = sick.put("tests.effect", 40)
    (neighbour,) = sick.put("tests.effect", seconds=6.0)
    wait_for(lambda: sick.row(neighbour).state == "running", 20, "the neighbour to run")
    (hostile,) = sick.put("tests.sick", do="end_thread", thread=thread, seconds=100.0)
    wait_for(lambda: first not in children(worker.pid), 20, "the end of the broken child")
    assert sick.wait([*short, neighbour], 40) == ["succeeded"] * 41
    assert sick.wait([hostile], 60) == ["failed"]
    paid = sick.row(hostile)
    assert (paid.error["code"], paid.crashes) == ("crash_limit", 3)
    assert paid.attempt <= 4, "one run beside others, three alone"
    assert THREADS[thread] in paid.error["message"]
    assert sick.row(neighbour).attempt <= 2
    assert {sick.row(i).failures + sick.row(i).crashes for i in [*short, neighbour]} == {0}
    assert lines(sick.fleet.logs(), '"child_broken"', f'"{THREADS[thread]}"')
    assert not lines(sick.fleet.logs(), '"child_stuck"')


def test_what_has_run_in_a_broken_child_is_recorded_and_not_run_again(sick: LedgerFleet) -> None:
    sick.fleet.start_worker(threads=4)
    (hostile,) = sick.put("tests.sick", do="end_thread", thread="writer", seconds=1.0)
    ids = sick.put("tests.effect", 60)
    assert sick.wait([hostile, *ids], 60)[1:] == ["succeeded"] * 60
    assert len(effects(sick.fleet.effects)) == 60


def test_neighbours_pay_no_crash_for_a_task_that_broke_the_child_and_returned(sick: LedgerFleet) -> None:
    """The neighbour is all that still runs when the child ends, and is not taken for the cause."""
    worker = sick.fleet.start_worker(threads=4)
    (first,) = children(worker.pid)
    (neighbour,) = sick.put("tests.async", seconds=4.0)
    wait_for(lambda: sick.row(neighbour).state == "running", 20, "the neighbour to run")
    (hostile,) = sick.put("tests.sick", do="end_all_threads")
    wait_for(lambda: first not in children(worker.pid), 20, "the end of the broken child")
    assert sick.wait([hostile, neighbour], 40) == ["succeeded"] * 2
    assert (sick.row(neighbour).failures, sick.row(neighbour).crashes) == (0, 0)


def test_a_task_that_closes_the_descriptors_of_its_process_pays_and_what_has_ended_is_kept(sick: LedgerFleet) -> None:
    sick.fleet.start_worker(threads=4)
    short = sick.put("tests.effect", 40)
    (neighbour,) = sick.put("tests.effect", seconds=3.0)
    # What is still written would be written to nowhere.
    wait_for(lambda: len(effects(sick.fleet.effects)) == 41, 20, "the short ones to have run, and the neighbour to run")
    (hostile,) = sick.put("tests.sick", do="close_descriptors", seconds=100.0)
    assert sick.wait([*short, neighbour], 40) == ["succeeded"] * 41
    assert sick.wait([hostile], 60) == ["failed"]
    assert sick.row(hostile).crashes == 3
    assert {sick.row(i).failures + sick.row(i).crashes for i in [*short, neighbour]} == {0}
    assert len(effects(sick.fleet.effects)) <= 42, "only the neighbour has run twice"


def test_neighbours_pay_nothing_for_a_task_that_lowers_the_limit_of_descriptors(sick: LedgerFleet) -> None:
    sick.fleet.start_worker(threads=1)
    ids = sick.put("tests.sick", do="lower_descriptors") + sick.put("tests.effect", 10)
    assert sick.wait(ids, 40) == ["succeeded"] * 11


@pytest.mark.long
def test_a_child_says_that_it_is_broken_also_where_a_task_has_replaced_what_writes_json(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker(threads=4)
    (first,) = children(worker.pid)
    assert sick.wait(sick.put("tests.sick", do="replace_json"), 40) == ["succeeded"]
    (neighbour,) = sick.put("tests.async", seconds=4.0)
    wait_for(lambda: sick.row(neighbour).state == "running", 20, "the neighbour to run")
    (hostile,) = sick.put("tests.sick", do="end_all_threads")
    wait_for(lambda: first not in children(worker.pid), 20, "the end of the broken child")
    assert sick.wait([hostile, neighbour], 40) == ["succeeded"] * 2
    assert sick.row(neighbour).crashes == 0, "it pays nothing for the others"


def test_a_type_that_breaks_children_and_returns_before_they_end_is_slowed(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker(threads=1)
    for _ in range(3):
        wait_for(lambda: len(children(worker.pid)) == 1, 20, "a child")
        (child,) = children(worker.pid)
        (hostile,) = sick.put("tests.sick", do="end_thread", thread="writer")
        assert sick.wait([hostile], 30) == ["succeeded"]
        wait_for(lambda child=child: child not in children(worker.pid), 20, "its end")  # type: ignore[misc]
    wait_for(lambda: lines(sick.fleet.logs(), '"tasks_slowed"', "tests.sick"), 10, "to be slowed")
    assert sick.wait(sick.put("tests.effect")) == ["succeeded"]


def test_the_event_loop_goes_on_when_a_task_raises_into_its_thread(sick: LedgerFleet) -> None:
    worker = sick.fleet.start_worker(threads=2)
    before = children(worker.pid)
    (waiting,) = sick.put("tests.async", seconds=3.0)
    wait_for(lambda: sick.row(waiting).state == "running", 20, "the coroutine to run")
    (hostile,) = sick.put("tests.sick", do="end_thread", thread="async-tasks")
    assert sick.wait([hostile, waiting]) == ["succeeded"] * 2
    assert told(sick, hostile) == "async-tasks"
    assert sick.wait(sick.put("tests.async")) == ["succeeded"]
    assert children(worker.pid) == before
