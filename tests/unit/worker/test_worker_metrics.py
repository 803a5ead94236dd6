"""What the worker counts, and a ceiling on how many series that makes."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from taskyard.catalogue.types import Params, Result, TaskType
from taskyard.domain.tasks import (
    Change,
    Failed,
    FailureKind,
    Fault,
    Outcome,
    Released,
    RetryIn,
    State,
    Succeeded,
)
from taskyard.lifecycle.rescue import Guilt, Lost
from taskyard.settings import DEFAULT_QUEUES
from taskyard.telemetry.metrics import MAX_TASK_NAMES, Metrics
from taskyard_worker.metrics import WorkerMetrics

FAULT = Fault("code", "message", "Type", retryable=True)


def make_type(name: str, queue: str = "default") -> TaskType[Any, Any]:
    return TaskType(name=name, description="", params=Params, result=Result, queue=queue)


@pytest.fixture
def worker() -> WorkerMetrics:
    types = [make_type("a.one"), make_type("b.two", "selection")]
    return WorkerMetrics(Metrics("worker"), types, DEFAULT_QUEUES)


def value(worker: WorkerMetrics, name: str, **labels: str) -> float | None:
    return worker.metrics.exposed.get_sample_value(f"taskyard_{name}", labels)


def end(outcome: Outcome, *, run_seconds: float | None = 0.5, queue: str = "default") -> Any:
    work = SimpleNamespace(name="a.one", queue=queue)
    return SimpleNamespace(slot=SimpleNamespace(work=work), outcome=outcome, run_seconds=run_seconds)


@pytest.mark.parametrize(
    ("outcome", "state", "word", "kind"),
    [
        (Succeeded({}), State.SUCCEEDED, "succeeded", None),
        (Failed(FAULT), State.FAILED, "failed", "exception"),
        (Failed(FAULT), State.CANCELLED, "cancelled", "exception"),
        (RetryIn(FAULT, delay=None), State.RETRYING, "retrying", "exception"),  # type: ignore[arg-type]
        (Released("stopping"), State.QUEUED, "released", "shutdown"),
    ],
)
def test_an_attempt_is_counted_by_its_outcome(
    worker: WorkerMetrics, outcome: Outcome, state: State, word: str, kind: str | None
) -> None:
    worker.recorded([(end(outcome), state)])
    assert value(worker, "task_attempts_total", queue="default", task="a.one", outcome=word) == 1
    assert value(worker, "task_run_seconds_count", queue="default", task="a.one") == 1
    for candidate in FailureKind:
        expected = 1 if candidate == kind else 0
        found = value(worker, "task_failures_total", queue="default", task="a.one", kind=candidate)
        assert found == expected
    assert value(worker, "tasks_retried_total") == (1 if state is State.RETRYING else 0)


def test_dead_letters_are_counted_by_why_there_is_no_other_attempt(worker: WorkerMetrics) -> None:
    worker.recorded([(end(Failed(FAULT)), State.FAILED)])
    worker.recorded([(end(Failed(Fault("c", "m", "T", retryable=False))), State.FAILED)])
    assert value(worker, "tasks_dead_lettered_total", reason="max_attempts") == 1
    assert value(worker, "tasks_dead_lettered_total", reason="not_retryable") == 1


def test_a_claim_that_never_began_is_no_attempt(worker: WorkerMetrics) -> None:
    worker.claimed([SimpleNamespace(queue="default", waited_seconds=0.2)])  # type: ignore[list-item]
    worker.recorded([(end(Released("given back"), run_seconds=None), State.QUEUED)])
    assert value(worker, "task_attempts_total", queue="default", task="a.one", outcome="released") == 0


def test_gauges_follow_the_claim_table(worker: WorkerMetrics) -> None:
    claims: Any = SimpleNamespace(threads=4, running=2, begun_since=lambda: {"default": 1.0})
    works: Any = [SimpleNamespace(queue="default", waited_seconds=0.2) for _ in range(3)]
    worker.claimed(works)
    worker.recorded([(end(Succeeded({})), State.SUCCEEDED)])
    worker.fenced(end(Succeeded({})))
    worker.update_gauges(claims, polled=2.0)
    assert value(worker, "tasks_in_progress", queue="default") == 1
    assert value(worker, "worker_slots") == 4
    assert value(worker, "worker_slots_busy") == 2
    assert value(worker, "fenced_writes_total") == 1
    assert value(worker, "task_queue_wait_seconds_count", queue="default") == 3
    longest = value(worker, "longest_running_task_start_timestamp_seconds", queue="default")
    polled = value(worker, "worker_last_poll_timestamp_seconds")
    assert longest is not None
    assert polled is not None
    assert polled - longest == pytest.approx(1.0)
    assert value(worker, "longest_running_task_start_timestamp_seconds", queue="selection") == 0


def test_attempts_that_died_with_a_child_are_crashes(worker: WorkerMetrics) -> None:
    begun, waiting = uuid4(), uuid4()
    lost = [Lost(begun, uuid4(), Guilt.GUILTY, "killed"), Lost(waiting, uuid4(), Guilt.INNOCENT, "killed")]
    changes = [Change(task_id, "a.one", "default", State.FAILED, 1) for task_id in (begun, waiting)]
    worker.attempts.lost(lost, changes)
    assert value(worker, "task_attempts_total", queue="default", task="a.one", outcome="crashed") == 1
    assert value(worker, "task_failures_total", queue="default", task="a.one", kind="crash") == 1
    assert value(worker, "tasks_dead_lettered_total", reason="crash_limit") == 1
    assert worker.attempts.totals == {"crashed": 1}


def series(worker: WorkerMetrics) -> int:
    return sum(len(metric.samples) for metric in worker.metrics.exposed.collect())


def test_the_number_of_series_has_a_ceiling() -> None:
    """35 task types: what each costs is bounded, and no caller can add any."""
    types = [make_type(f"type.n{n}", DEFAULT_QUEUES[n % 5]) for n in range(35)]
    worker = WorkerMetrics(Metrics("worker"), types, DEFAULT_QUEUES)
    assert series(worker) < 35 * 27 + 5 * 25 + 50
    # Every type, real and invented, in every queue, real and invented: the product of the registries at most.
    for queue in (*DEFAULT_QUEUES, "x", "y", "z"):
        for name in (*(t.name for t in types), "p", "q", "r"):
            one = end(Failed(FAULT), queue=queue)
            one.slot.work.name = name
            worker.recorded([(one, State.FAILED)])
    assert series(worker) < (35 + 1) * (5 + 1) * 27 + 6 * 25 + 50


def test_series_grow_as_types_are_registered_up_to_the_ceiling_and_then_count_as_other() -> None:
    worker = WorkerMetrics(Metrics("worker"), (), DEFAULT_QUEUES)
    assert series(worker) < 5 * 25 + 50
    for n in range(MAX_TASK_NAMES + 50):
        worker.attempts.know([make_type(f"type.n{n:03}")])
    assert series(worker) < MAX_TASK_NAMES * 27 + 5 * 25 + 50
    for n in (0, MAX_TASK_NAMES - 1, MAX_TASK_NAMES, MAX_TASK_NAMES + 49):
        one = end(Succeeded({}))
        one.slot.work.name = f"type.n{n:03}"
        worker.recorded([(one, State.SUCCEEDED)])

    def counted(name: str) -> float | None:
        return value(worker, "task_attempts_total", queue="default", task=name, outcome="succeeded")

    last = f"type.n{MAX_TASK_NAMES - 1:03}"
    assert [counted("type.n000"), counted(last), counted("_other")] == [1, 1, 2]


def test_a_type_that_was_counted_as_other_before_it_was_registered_has_its_own_series_from_then_on() -> None:
    worker = WorkerMetrics(Metrics("worker"), (), DEFAULT_QUEUES)
    worker.recorded([(end(Succeeded({})), State.SUCCEEDED)])
    worker.attempts.know([make_type("a.one")])
    worker.recorded([(end(Succeeded({})), State.SUCCEEDED)])
    for name in ("_other", "a.one"):
        assert value(worker, "task_attempts_total", queue="default", task=name, outcome="succeeded") == 1
