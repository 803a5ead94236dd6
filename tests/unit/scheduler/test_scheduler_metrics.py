"""A ceiling on the series the scheduler makes, and what a standby shows."""

from typing import Any

from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.settings import DEFAULT_QUEUES
from taskyard.telemetry.metrics import Metrics
from taskyard_scheduler.metrics import SchedulerMetrics


def make(leads: bool) -> tuple[Metrics, SchedulerMetrics]:
    types: list[TaskType[Any, Any]] = [
        TaskType(name=f"type.n{n}", description="", params=Params, result=Result, queue=DEFAULT_QUEUES[n % 5])
        for n in range(35)
    ]
    metrics = Metrics("scheduler")
    made = SchedulerMetrics(metrics, Catalogue(types), DEFAULT_QUEUES, leads=lambda: leads, knows_depth=lambda: leads)
    return metrics, made


def test_the_number_of_series_has_a_ceiling() -> None:
    metrics, made = make(leads=True)
    assert sum(len(metric.samples) for metric in metrics.exposed.collect()) < 120
    for queue in (*DEFAULT_QUEUES, *(f"q{n}" for n in range(100))):
        for name in (f"type.n{n}" for n in range(200)):
            made.dead_letters[queue, name].set(1)
    assert sum(len(metric.samples) for metric in metrics.exposed.collect()) < 120 + 6 * 36


def test_a_standby_shows_nothing_that_only_the_leader_knows() -> None:
    metrics, _ = make(leads=False)
    names = {metric.name for metric in metrics.exposed.collect()}
    assert "taskyard_scheduler_is_leader" in names
    assert not names & {"taskyard_queue_tasks", "taskyard_tasks_unaccounted", "taskyard_broker_up"}
    leading, _ = make(leads=True)
    assert {"taskyard_queue_tasks", "taskyard_tasks_unaccounted"} <= {
        metric.name for metric in leading.exposed.collect()
    }
