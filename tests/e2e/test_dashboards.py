"""Every panel of every dashboard shows something while a stack works and fails, and what the load does is seen."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.boards import BOARDS, Asked, asked
from tests.support.fleet import Fleet, answers, free_port, repeating, wait_for
from tests.support.monitoring import Prometheus, prometheus
from tests.support.schedules import make_schedule

pytestmark = [pytest.mark.system, pytest.mark.e2e, pytest.mark.timeout(180)]

RULES = sorted((Path(__file__).parents[2] / "deploy/monitoring/rules").glob("*.yml"))
ALL = {"namespace": ".*", "queue": ".*", "task": ".*", "route": ".*", "__rate_interval": "5s"}
SECONDS = 20
LIMITS = {"timeout_seconds": 2, "soft_timeout_seconds": 1, "max_attempts": 1}

# What stays at 0 in this load, by title: none of these faults is injected here.
STAYS_ZERO = {}


@contextmanager
def scraped(fleet: Fleet) -> Iterator[dict[str, str]]:
    """Addresses of the metrics of an API, a worker of two children, a leading scheduler and one that stands by."""
    ports = {name: str(free_port()) for name in ("api", "worker", "scheduler", "standby")}
    fleet.environment["TASKYARD_METRICS_PORT"] = ports["api"]
    fleet.start_api()
    fleet.start_scheduler(TASKYARD_METRICS_PORT=ports["scheduler"])
    fleet.environment["TASKYARD_METRICS_PORT"] = ports["worker"]
    fleet.start_worker(processes=2)
    fleet.start_scheduler(TASKYARD_METRICS_PORT=ports["standby"])
    found = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    for name, address in found.items():
        wait_for(lambda a=address: answers(f"http://{a}/metrics"), 20, f"the metrics of {name}")  # type: ignore[misc]
    yield found


class Load:
    """Work of every kind, a turn at a time."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._turns = itertools.count()

    def turn(self) -> None:
        fleet, turn = self._fleet, next(self._turns)
        fleet.submit_many(10, "tests.effect", {"seconds": 0.05})
        fleet.submit("diagnostics.fail", {"times": 1})
        fleet.submit("diagnostics.fail", {"times": 1, "kind": "permanent"})
        fleet.http.post(f"/tasks/{fleet.submit('diagnostics.sleep', {'seconds': 30})}/cancel")
        fleet.http.post("/tasks", json={"name": "diagnostics.echo", "params": {"wrong": 1}})
        fleet.http.get("/tasks", headers={"Authorization": "Bearer wrong"})
        if turn % 8 == 0:
            fleet.submit("diagnostics.crash", max_attempts=2)
            # Past its limit, and then past the time to stop: the child has to end.
            fleet.submit("tests.stubborn", {"seconds": 30}, **LIMITS)


@contextmanager
def follower(fleet: Fleet) -> Iterator[None]:
    """A client that follows the events of a task that sleeps."""
    followed = fleet.submit("diagnostics.sleep", {"seconds": 100})
    ended = threading.Event()

    def follow() -> None:
        with fleet.http.stream("GET", f"/tasks/{followed}/events", headers={"Accept": "text/event-stream"}) as answer:
            for _ in answer.iter_lines():
                if ended.is_set():
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        fleet.http.post(f"/tasks/{followed}/cancel")
        thread.join(20)


@contextmanager
def watching(directory: Path, targets: Mapping[str, str], **labels: str) -> Iterator[Prometheus]:
    directory.mkdir()
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [address], "labels": labels}]}
        for name, address in targets.items()
    ]
    with prometheus(directory, jobs, rules=RULES) as seen:
        yield seen


def seen(prometheus: Prometheus, query: str) -> list[float]:
    """The values that are numbers. A quantile of nothing is none."""
    values = (float(found["value"][1]) for found in prometheus.query(query))
    return [value for value in values if math.isfinite(value)]


def test_every_panel_shows_something_while_a_stack_works_and_fails(fleet: Fleet, tmp_path: Path) -> None:
    """Without namespaces, as with Compose, and with one, as on Kubernetes."""
    with ExitStack() as running:
        targets = running.enter_context(scraped(fleet))
        make_schedule(fleet, "often", trigger={"every_seconds": 1})
        watched = [
            (running.enter_context(watching(tmp_path / "plain", targets)), ALL),
            (running.enter_context(watching(tmp_path / "spaced", targets, namespace="shop")), {**ALL, "namespace": "shop"}),
        ]
        running.enter_context(follower(fleet))
        running.enter_context(repeating(Load(fleet).turn, every=0.5))
        for prometheus, values in watched:
            most: dict[Asked, float] = dict.fromkeys(itertools.chain(*map(asked, BOARDS)), math.nan)
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline and (left := [one for one, value in most.items() if not value > 0]):
                for one in left:
                    most[one] = max(seen(prometheus, one.with_values(values)), default=most[one])
                time.sleep(0.5)
            silent = [str(one) for one, value in most.items() if math.isnan(value)]
            zero = {one.title for one, value in most.items() if value <= 0}
            print("\n".join(["SILENT", *silent, "ZERO", *map(str, (one for one, value in most.items() if value <= 0))]))
