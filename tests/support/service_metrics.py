"""The metrics of each service, as its composition root makes them; no server is asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from taskyard.running.hooks import Hooks
from taskyard.settings import Settings
from taskyard.store.ledger import engine_of
from taskyard.telemetry.metrics import Metrics, SharedFiles
from taskyard_api.composition import build
from taskyard_console.composition import build as build_console
from taskyard_scheduler.composition import compose
from taskyard_worker.child.run_log import RunLog
from taskyard_worker.metrics import DIRECTORY_VARIABLE, PROCESS_VARIABLE, NamedType, WorkerMetrics
from taskyard_worker.supervisor.metrics import SupervisorMetrics


def settings(**changes: Any) -> Settings:
    """Of servers that are not there."""
    return Settings(
        database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"),
        redis_url=SecretStr("redis://127.0.0.1:1/0"),
        metrics_port=0,
        **changes,
    )


class Worker:
    """A supervisor's metrics and those of its children, in one process."""

    def __init__(self) -> None:
        self._settings = settings()
        self.supervisor = SupervisorMetrics(self._settings, self._settings.queues)
        self.children: list[WorkerMetrics] = []

    def child(self, types: Iterable[NamedType] = ()) -> WorkerMetrics:
        index = len(self.children)
        environment = self.supervisor.environment(index)
        files = SharedFiles(Path(environment[DIRECTORY_VARIABLE]), environment[PROCESS_VARIABLE])
        made = WorkerMetrics(Metrics("worker", shared=files), types, self._settings.queues)
        made.metrics.watch_pool(engine_of(self._settings, "test", serves=["test"]))
        Hooks([RunLog()], made.metrics)
        self.children.append(made)
        return made

    @property
    def made(self) -> dict[str, tuple[str, ...]]:
        return self.supervisor.metrics.made | self.children[0].metrics.made

    def samples(self) -> int:
        return samples(self.supervisor.metrics)

    def stop(self) -> None:
        for child in self.children:
            child.metrics.close()
        self.supervisor.stop()


def api_metrics() -> Metrics:
    return build(settings()).metrics


def scheduler_metrics() -> Metrics:
    metrics = Metrics("scheduler")
    compose(settings(), metrics)
    return metrics


def console_metrics() -> Metrics:
    return build_console(settings(url="http://127.0.0.1:1")).metrics


def samples(metrics: Metrics) -> int:
    return sum(len(family.samples) for family in metrics.exposed.collect())
