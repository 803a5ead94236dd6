"""Every panel of every dashboard shows something while a stack works and fails, and what the load does is seen."""

from __future__ import annotations

import itertools
import math
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from taskyard.domain.api_keys import make_key
from tests.support.boards import BOARDS, Asked, asked
from tests.support.fleet import KEY, Fleet, answers, free_port, repeating, wait_for
from tests.support.monitoring import Prometheus, prometheus
from tests.support.schedules import make_schedule
from tests.support.tls import TLS

pytestmark = [pytest.mark.system, pytest.mark.e2e, pytest.mark.timeout(300)]

RULES = sorted((Path(__file__).parents[2] / "deploy/monitoring/rules").glob("*.yml"))
ALL = {"namespace": ".*", "queue": ".*", "task": ".*", "route": ".*", "__rate_interval": "10s"}
LIMITS = {"soft_timeout_seconds": 1, "hard_timeout_seconds": 2, "max_attempts": 1}
# It ends as soon as all have been seen, after some 40 s on two processors of its own.
SECONDS = 150

# Queries that give 0 in this load, and why. All others have to show what the load does.
ZERO = {
    "no server is away": {
        "Replicas that miss a server",
        "Requests that failed",
        "Requests that failed: now",
        "Requests that failed: 1 hour",
        "Requests that failed: 6 hours",
        "Requests that failed, by route: {{route}}",
        "Share of failed and refused requests: failed (5xx)",
        "Counts that failed: failed",
    },
    "none waits for a minute": {f"Tasks that waited too long: {window}" for window in ("now", "1 hour", "6 hours")},
    "Redis loses nothing": {
        "Tasks unaccounted for",
        "Tasks unaccounted for: unaccounted",
        "Evicted keys: evicted",
        "Published by the relay: relayed",
        "Published by the relay: published again",
    },
    "none fires that soon": {"Alerts that fire", "Alerts: {{alertname}} {{severity}}"},
    "the machine of the test may set no limit": {
        "Memory of workers, at most",
        "Memory, by worker: lowest limit (0: none)",
        "Processes that the kernel ended for lack of memory: {{instance}}",
    },
    "the key has no rate": {"Over their rate, by scope: {{scope}}"},
    "no type ends children that fast": {"Types that were slowed down: {{task}}"},
    "no worker is frozen": {"Ends that came too late: fenced"},
    "no task starts a program": {"Programs that tasks left running: {{kind}}"},
    "there are no hooks": {"Errors of hooks, by hook: {{hook}}"},
}
MAY_BE_ZERO = frozenset(itertools.chain.from_iterable(ZERO.values()))


def scrape_targets(fleet: Fleet) -> dict[str, str]:
    """Starts an API, a leading scheduler, a worker of two children, a scheduler that stands by, and a console; where
    each serves its metrics."""
    ports = {name: str(free_port()) for name in ("api", "scheduler", "worker", "standby", "console")}
    fleet.environment["TASKYARD_METRICS_PORT"] = ports["api"]
    fleet.start_api()
    fleet.start_scheduler(TASKYARD_METRICS_PORT=ports["scheduler"])
    fleet.environment["TASKYARD_METRICS_PORT"] = ports["worker"]
    fleet.start_worker(processes=2)
    fleet.environment["TASKYARD_METRICS_PORT"] = "0"
    fleet.start_scheduler(TASKYARD_METRICS_PORT=ports["standby"])
    fleet.environment["TASKYARD_CONSOLE_PORT"] = str(free_port())
    url = f"http://127.0.0.1:{fleet.port}"
    fleet.start("taskyard-console", "serve", TASKYARD_URL=url, TASKYARD_METRICS_PORT=ports["console"])
    targets = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    for name, address in targets.items():
        wait_for(lambda a=address: answers(f"http://{a}/metrics"), 20, f"the metrics of {name}")  # type: ignore[misc]
    return targets


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
        if turn % 8 == 3:
            fleet.submit("diagnostics.crash", max_attempts=2)
        if turn % 16 == 7:
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


def sign_in(http: httpx.Client, key: str) -> httpx.Response:
    form = re.search(r'name="csrf" value="([^"]+)"', http.get("/sign-in").text)
    assert form is not None
    return http.post("/sign-in", data={"csrf": form[1], "key": key})


@contextmanager
def reader(fleet: Fleet) -> Iterator[None]:
    """Of the console: a live page that stays open, looks at the tasks, and another one with a wrong key."""
    url = f"http://127.0.0.1:{fleet.environment['TASKYARD_CONSOLE_PORT']}"
    with httpx.Client(base_url=url, verify=TLS) as http, httpx.Client(base_url=url, verify=TLS) as other:
        assert sign_in(http, KEY).is_redirect

        def turn() -> None:
            assert http.get("/tasks").is_success
            assert sign_in(other, make_key().text).is_client_error

        with http.stream("GET", "/live") as live, repeating(turn, every=1):
            signals = live.iter_bytes()  # its end would be that of the stream
            next(signals)
            yield


@contextmanager
def watching(directory: Path, targets: Mapping[str, str], **labels: str) -> Iterator[Prometheus]:
    directory.mkdir()
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [address], "labels": labels}]}
        for name, address in targets.items()
    ]
    with prometheus(directory, jobs, every="2s", rules=RULES) as seen:
        yield seen


def lose_a_worker(fleet: Fleet) -> None:
    """It is killed while a task runs; those behind it have nobody, and fail once their time is over."""
    lost = fleet.start_worker(queues="high_priority", threads=1)
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    sleep = {"name": "diagnostics.sleep", "params": {"seconds": 60}, "queue": "high_priority"}
    # The API learns within seconds of a queue that is new.
    wait_for(lambda: fleet.http.post("/tasks", json=sleep).status_code == 202, 20, "the queue to be known")
    wait_for(
        lambda: fleet.query("SELECT FROM task WHERE queue = 'high_priority' AND state = 'running'"), 20, "its task"
    )
    for _ in range(5):
        assert fleet.http.post("/tasks", json={**sleep, "expires_at": soon}).status_code == 202
    os.killpg(lost.pid, signal.SIGKILL)


def figure(prometheus: Prometheus, title: str) -> float | None:
    """What a figure of the overview shows."""
    [query] = [query for query in asked("taskyard-overview") if query.name == title]
    return prometheus.value(query.with_values(ALL))


class Shown:
    """The highest value that each query has shown so far."""

    def __init__(self, prometheus: Prometheus, variables: Mapping[str, str]) -> None:
        # A hundred queries a look: one connection for all.
        self._http = httpx.Client(base_url=f"{prometheus.url}/api/v1", timeout=20.0, verify=TLS)
        self._variables = variables
        self.most: dict[Asked, float] = dict.fromkeys(itertools.chain.from_iterable(map(asked, BOARDS)), math.nan)

    def close(self) -> None:
        self._http.close()

    def look(self) -> None:
        for query in [query for query, value in self.most.items() if not value > 0]:
            answer = self._http.get("/query", params={"query": query.with_values(self._variables)}).json()
            assert answer["status"] == "success", (query, answer)
            values = [value for one in answer["data"]["result"] if math.isfinite(value := float(one["value"][1]))]
            self.most[query] = max(values, default=self.most[query])

    @property
    def silent(self) -> list[str]:
        """Queries without any number. The quantile of nothing is none."""
        return [str(query) for query, value in self.most.items() if math.isnan(value)]

    @property
    def missing(self) -> list[str]:
        """Those that are silent, and those that should have shown what the load does."""
        zero = [str(query) for query, value in self.most.items() if value <= 0 and query.name not in MAY_BE_ZERO]
        return self.silent + zero


def solve_errors(fleet: Fleet) -> None:
    """They come back, because the load goes on failing."""
    for group in fleet.http.get("/errors", params={"state": "open"}).json()["items"]:
        assert fleet.http.post(f"/errors/{group['id']}/solve").is_success


def test_every_panel_shows_something_while_a_stack_works_and_fails(fleet: Fleet, tmp_path: Path) -> None:
    """Without namespaces, as with Compose, and with one, as on Kubernetes."""
    with ExitStack() as running:
        targets = scrape_targets(fleet)
        make_schedule(fleet, "often", trigger={"every_seconds": 1})
        seen = running.enter_context(watching(tmp_path / "plain", targets))
        plain = running.enter_context(closing(Shown(seen, ALL)))
        spaced = running.enter_context(watching(tmp_path / "spaced", targets, namespace="shop"))
        wait_for(lambda: figure(seen, "Leaders") == figure(seen, "Workers") == 1, 60, "all to be scraped")
        # A scheduler that stands by asks Redis, too.
        wait_for(lambda: figure(seen, "Replicas that miss a server") == 0, 60, "each service to reach its servers")
        running.enter_context(follower(fleet))
        running.enter_context(reader(fleet))
        running.enter_context(repeating(Load(fleet).turn, every=0.5))
        lose_a_worker(fleet)
        assert fleet.http.post("/queues/low_priority/pause").is_success
        until = time.monotonic() + SECONDS
        plain.look()
        while plain.missing and time.monotonic() < until:
            solve_errors(fleet)
            time.sleep(2)
            plain.look()
        assert plain.missing == []
        narrow = running.enter_context(closing(Shown(spaced, {**ALL, "namespace": "shop", "queue": "default"})))
        narrow.look()
        assert narrow.silent == []
        other = running.enter_context(closing(Shown(spaced, {**ALL, "namespace": "elsewhere"})))
        other.look()
        assert {value for value in other.most.values() if value > 0} == set(), "another namespace shows ours"


def test_what_may_be_zero_is_a_query_of_some_panel() -> None:
    assert {query.name for uid in BOARDS for query in asked(uid)} >= MAY_BE_ZERO
