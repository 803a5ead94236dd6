"""What docs/capacity.md and docs/operations.md say of connections is what the services' pools allow."""

from __future__ import annotations

import re

import pytest

from taskyard.settings import Settings
from taskyard.telemetry.metrics import Metrics
from taskyard_api.engines import engines_of
from taskyard_scheduler.composition import compose
from taskyard_worker.child import composition as child
from taskyard_worker.child import connections as child_connections
from taskyard_worker.supervisor import composition as supervisor
from tests.support.docs import DOCS


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings()


@pytest.fixture(scope="module")
def capacity() -> str:
    return (DOCS / "capacity.md").read_text("utf-8").replace("\N{MULTIPLICATION SIGN}", "x")


def connections(*engines: object) -> int:
    return sum(engine.pool.size() for engine in engines)  # type: ignore[attr-defined]


def test_connections_of_the_api(capacity: str, settings: Settings) -> None:
    more = connections(*engines_of(settings)) - settings.db_pool_size
    assert f"| API | `TASKYARD_DB_POOL_SIZE` + {more} | {settings.db_pool_size + more} |" in capacity
    assert f"replicas of API x (TASKYARD_DB_POOL_SIZE + {more})" in capacity


def test_connections_of_a_worker(capacity: str, settings: Settings) -> None:
    own, of_tasks = len(supervisor.LEDGER_THREADS), child.COROUTINES
    in_child = len(child_connections.LEDGER_THREADS) + len(child_connections.SUBMITS) + of_tasks
    shipped = own + settings.worker_processes.maximum * (settings.worker_threads + in_child)
    assert f"| worker | {own} + processes x (threads + {in_child}) | {shipped} |" in capacity
    assert f"Σ workers ({own} + 2 x processes x (threads + {in_child}))" in capacity
    assert f"`threads + {of_tasks}`" in capacity


def test_connections_of_a_scheduler(capacity: str, settings: Settings) -> None:
    scheduler = compose(settings, Metrics("scheduler"))
    held = connections(*scheduler.engines)
    for client in scheduler.clients:
        client.close()
    assert f"| scheduler | {held} | {held} |" in capacity
    assert f"schedulers x {held}" in capacity


def test_both_pages_say_the_same(capacity: str) -> None:
    shipped = re.findall(r"^\| (?:API|worker|scheduler) \|.*\| (\d+) \|$", capacity, re.MULTILINE)
    api, worker, scheduler = (int(number) for number in shipped)
    text = (DOCS / "operations.md").read_text("utf-8")
    assert f"({worker} as shipped), the API {api}, a scheduler {scheduler};" in text
