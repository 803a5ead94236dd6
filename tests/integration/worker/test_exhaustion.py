"""A child that runs out of descriptors, threads or memory retires before it fails what comes after."""

from __future__ import annotations

import pytest

from tests.integration.worker.processes import LedgerFleet, lines
from tests.integration.worker.test_copies import sick, told
from tests.integration.worker.test_processes import metric
from tests.support.fleet import children, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["sick"]


def test_a_child_without_file_descriptors_is_replaced_before_another_task_fails_in_it(sick: LedgerFleet) -> None:
    port = free_port()
    worker = sick.fleet.start_worker("--metrics-port", str(port), threads=2)
    (child,) = children(worker.pid)
    leak = sick.put("tests.sick", do="leak_descriptors", number=1_000_000)
    after = sick.put("tests.sick", 40, do="open_descriptor")
    assert sick.wait(leak + after, 60) == ["succeeded"] * 41
    assert told(sick, leak[0]) > 100  # type: ignore[operator]
    wait_for(lambda: len(children(worker.pid)) == 1 and child not in children(worker.pid), 20, "its successor")
    assert {row.attempt for row in sick.harness.query("SELECT attempt FROM task")} <= {1, 2}
    assert {row.failures for row in sick.harness.query("SELECT failures FROM task")} == {0}
    (said,) = lines(sick.fleet.logs(), '"child_worn"', "max_descriptors")
    assert '"limit"' in said
    wait_for(lambda: metric(port, "worker_children_retired_total", why="max_descriptors") == 1, 10, "the count")


@pytest.mark.parametrize(
    ("do", "settings", "why"),
    [
        ("leak_descriptors", {"TASKYARD_MAX_DESCRIPTORS_PER_CHILD": "200"}, "max_descriptors"),
        ("leak_threads", {"TASKYARD_MAX_THREADS_PER_CHILD": "60"}, "max_threads"),
        ("leak_memory", {"TASKYARD_MAX_MEMORY_PER_CHILD_MB": "200"}, "max_memory"),
    ],
)
@pytest.mark.long
def test_a_child_retires_at_the_limit_that_is_set_and_no_task_pays(
    sick: LedgerFleet, do: str, settings: dict[str, str], why: str
) -> None:
    port = free_port()
    sick.fleet.environment.update(settings)
    worker = sick.fleet.start_worker("--metrics-port", str(port), threads=2)
    (child,) = children(worker.pid)
    ids = sick.put("tests.sick", do=do, number=250, seconds=30.0) + sick.put("tests.effect", 20)
    assert sick.wait(ids) == ["succeeded"] * 21
    wait_for(lambda: len(children(worker.pid)) == 1 and child not in children(worker.pid), 30, "its successor")
    assert lines(sick.fleet.logs(), '"child_worn"', why)
    wait_for(lambda: metric(port, "worker_children_retired_total", why=why) == 1, 10, "the count")
    assert {row.failures + row.crashes for row in sick.harness.query("SELECT failures, crashes FROM task")} == {0}


def test_a_limit_below_what_a_new_child_needs_replaces_no_idle_child(sick: LedgerFleet) -> None:
    sick.fleet.environment["TASKYARD_MAX_THREADS_PER_CHILD"] = "1"
    worker = sick.fleet.start_worker(threads=1)
    before = children(worker.pid)
    assert sick.wait(sick.put("tests.effect", 3)) == ["succeeded"] * 3
    wait_for(lambda: len(children(worker.pid)) == 1 and children(worker.pid) != before, 30, "its successor")
    settled = children(worker.pid)
    wait_for(lambda: len(lines(sick.fleet.logs(), '"child_started"')) >= 2, 10, "the start")
    started = len(lines(sick.fleet.logs(), '"child_started"'))
    with pytest.raises(AssertionError):
        wait_for(lambda: len(lines(sick.fleet.logs(), '"child_started"')) > started, 4, "another one")
    assert children(worker.pid) == settled


@pytest.mark.parametrize(
    ("do", "code", "words"),
    [
        ("run_out_of_descriptors", "out_of_descriptors", "file descriptors"),
        ("run_out_of_threads", "out_of_threads", "threads"),
    ],
)
def test_what_fails_for_want_of_descriptors_or_threads_says_so(
    sick: LedgerFleet, do: str, code: str, words: str
) -> None:
    sick.fleet.start_worker(threads=1)
    (task,) = sick.put("tests.sick", do=do)
    assert sick.wait([task]) == ["failed"]
    error = sick.row(task).error
    assert error["code"] == code
    assert words in error["message"]
    assert sick.wait(sick.put("tests.sick", do="open_descriptor")) == ["succeeded"]
