"""The number of series of each service has a ceiling, whatever callers send; docs/metrics.md names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import pytest

from taskyard.catalogue.types import Params, Result, TaskType
from taskyard.domain.tasks import Failed, Fault, Outcome, RetryIn, State, Succeeded
from taskyard.settings import DEFAULT_QUEUES
from taskyard.telemetry.metrics import MAX_TASK_NAMES, Metrics
from taskyard.telemetry.metrics_families import MAX_MET
from taskyard_api.app import routes_of
from taskyard_api.auth import Scope
from taskyard_api.meters import CODES, METHODS, RESULTS, RequestMeters, SubmitMeters
from taskyard_console.meters import Meters
from taskyard_console.routes import SIGN_IN, page_routes
from taskyard_scheduler.leader import Term
from taskyard_scheduler.metrics import BrokerMetrics, DepthMetrics, ScheduleMetrics, SchedulerMetrics
from taskyard_worker.metrics import WorkerMetrics
from tests.support.docs import DOCS
from tests.support.service_metrics import Worker, samples

# More than any registry takes.
NAMES = [f"type.n{n:03}" for n in range(MAX_TASK_NAMES + 50)]
QUEUES = [*DEFAULT_QUEUES, *(f"queue{n}" for n in range(20))]
FAULT = Fault("code", "message", "Type", retryable=True)
ENDS: list[tuple[Outcome, State]] = [
    (Succeeded({}), State.SUCCEEDED),
    (Failed(FAULT), State.FAILED),
    (RetryIn(FAULT, delay=None), State.RETRYING),  # type: ignore[arg-type]
]


def ceiling(service: str) -> int:
    """As the page says it."""
    page = (DOCS / "metrics.md").read_text("utf-8")
    found = re.search(rf"^\| {service} \| ([\d,]+) \|", page, re.MULTILINE)
    assert found, f"docs/metrics.md names no ceiling for: {service}"
    return int(found[1].replace(",", ""))


def test_the_api_stays_below_its_ceiling() -> None:
    metrics = Metrics("api")
    timed = metrics.transactions("submit", "read")["submit"].time
    requests = RequestMeters(metrics, routes=routes_of(), scopes=list(Scope))
    submits = SubmitMeters(metrics, timed, queues=DEFAULT_QUEUES)
    submits.know({name: QUEUES[n % len(QUEUES)] for n, name in enumerate(NAMES)})
    for name, queue, result in product(NAMES, QUEUES, RESULTS):
        submits.count(queue, name, result)
    templates = {template for _, template in routes_of()}
    for method, route, code in product([*METHODS, "BREW"], [*templates, None, "/x"], [*map(int, CODES), 299, 599]):
        requests.answered(method, route, code, 0.1)
    assert samples(metrics) < ceiling("api")


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.stop()


def types() -> list[TaskType[Any, Any]]:
    return [
        TaskType(name=name, description="", params=Params, result=Result, queue=DEFAULT_QUEUES[n % 5])
        for n, name in enumerate(NAMES)
    ]


def run_all(child: WorkerMetrics, queues: list[str]) -> None:
    for name, queue, (outcome, state) in product(NAMES, queues, ENDS):
        work = SimpleNamespace(name=name, queue=queue)
        end: Any = SimpleNamespace(slot=SimpleNamespace(work=work), outcome=outcome, run_seconds=0.5)
        child.recorded([(end, state)])


def test_a_worker_stays_below_its_ceiling(worker: Worker) -> None:
    worker.supervisor.know(types())
    run_all(worker.child(types()), QUEUES)
    assert samples(worker.supervisor.metrics) < ceiling("worker")


@pytest.mark.long
def test_a_worker_whose_children_meet_different_tasks_stays_below_a_higher_one(worker: Worker) -> None:
    worker.supervisor.know(types())
    for queue in QUEUES[:6]:
        run_all(worker.child(types()), [queue])
    assert samples(worker.supervisor.metrics) < ceiling("worker, each child with other tasks")


def test_the_scheduler_stays_below_its_ceiling() -> None:
    metrics, term = Metrics("scheduler"), Term(1, until=0.0, since=0.0)
    metrics.transactions("probe")
    leadership: Any = SimpleNamespace(term=term)
    for part in (SchedulerMetrics, BrokerMetrics):
        part(metrics, leadership)
    ScheduleMetrics(metrics)
    depth = DepthMetrics(metrics, DEFAULT_QUEUES, leadership)
    depth.queues_counted(term, 1.0)
    depth.dead_letters_counted(term)
    depth.know({name: DEFAULT_QUEUES[n % 5] for n, name in enumerate(NAMES)})
    for name, queue in product(NAMES, QUEUES):
        depth.dead_letters[queue, name].set(1)
        depth.tasks[queue, name].set(1)
    assert samples(metrics) < ceiling("scheduler")


def test_the_console_stays_below_its_ceiling() -> None:
    metrics = Metrics("console", dependencies=())
    pages = [*page_routes(cast("Any", None), ""), *SIGN_IN, "/choices", "/live", "/static/{name}"]
    meters = Meters(metrics, pages=pages, live_pages=lambda: 0)
    for page in (*pages, None, "/x"):
        meters.shown(page, 0.1)
    assert samples(metrics) < ceiling("console")


def test_beyond_the_ceiling_the_type_gives_way_and_the_outcome_still_counts() -> None:
    metrics = Metrics("worker")
    names = [f"n{n}" for n in range(MAX_MET)]
    counts = metrics.counters("done_total", "Done.", {"task": names, "outcome": ("good", "bad")}, known=[])
    for name, outcome in product(names, ("good", "bad")):
        counts[name, outcome].inc()
        counts[name, outcome].inc()
    totals = {"good": 0.0, "bad": 0.0}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "taskyard_done_total":
                totals[sample.labels["outcome"]] += sample.value
    assert totals == {"good": 2 * MAX_MET, "bad": 2 * MAX_MET}
    assert counts.key(("n0", "good")) == ("n0", "good"), "what has a series keeps it"
    assert counts.key((names[-1], "bad")) == ("_other", "bad")
