"""A ceiling on the number of series, and no numbers of the leader's on a standby."""

from dataclasses import dataclass
from typing import Any

from taskyard.settings import DEFAULT_QUEUES
from taskyard.telemetry.metrics import MAX_TASK_NAMES, Metrics
from taskyard_scheduler.leader import Term
from taskyard_scheduler.metrics import BrokerMetrics, DepthMetrics, SchedulerMetrics


@dataclass
class Candidate:
    term: Term | None


def make(leads: bool) -> tuple[Metrics, DepthMetrics]:
    metrics, term = Metrics("scheduler"), Term(1, until=0.0, since=0.0)
    candidate: Any = Candidate(term if leads else None)
    SchedulerMetrics(metrics, candidate)
    BrokerMetrics(metrics, candidate)
    depth = DepthMetrics(metrics, DEFAULT_QUEUES, candidate)
    depth.know({f"type.n{n}": DEFAULT_QUEUES[n % 5] for n in range(35)})
    depth.queues_counted(term, 1.0)
    depth.dead_letters_counted(term)
    return metrics, depth


def test_the_number_of_series_has_a_ceiling() -> None:
    metrics, depth = make(leads=True)
    assert sum(len(metric.samples) for metric in metrics.exposed.collect()) < 120
    for queue in (*DEFAULT_QUEUES, *(f"q{n}" for n in range(100))):
        for name in (f"type.n{n}" for n in range(200)):
            depth.dead_letters[queue, name].set(1)
    assert sum(len(metric.samples) for metric in metrics.exposed.collect()) < 120 + 6 * 36


def test_names_of_types_get_series_as_they_are_registered_up_to_the_ceiling() -> None:
    _, depth = make(leads=True)
    assert ("default", "type.late") not in depth.dead_letters
    depth.know({"type.late": "default"})
    assert ("default", "type.late") in depth.dead_letters
    depth.know({f"type.x{n:04}": "default" for n in range(2 * MAX_TASK_NAMES)})
    names = {name for _, name in depth.dead_letters}
    assert len(names) == MAX_TASK_NAMES
    assert depth.dead_letters.key(("default", "type.x0399")) == ("default", "_other")
    assert "type.late" in names


def test_a_standby_exports_none_of_the_leaders_metrics() -> None:
    metrics, _ = make(leads=False)
    names = {metric.name for metric in metrics.exposed.collect()}
    assert "taskyard_scheduler_is_leader" in names
    assert not names & {"taskyard_queue_tasks", "taskyard_tasks_unaccounted", "taskyard_broker_up"}
    leading, _ = make(leads=True)
    assert {"taskyard_queue_tasks", "taskyard_tasks_unaccounted", "taskyard_broker_up"} <= {
        metric.name for metric in leading.exposed.collect()
    }
