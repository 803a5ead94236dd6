"""Metrics: what all services share. Each service defines its own on a `Metrics`.

In one process (api, scheduler):

    metrics = Metrics("api")
    requests = metrics.counters("http_requests_total", "…", {"method": METHODS, "code": CODES})
    server = metrics.serve(settings.metrics_host, settings.metrics_port)

In several (worker), where one process serves the metrics of all:

    supervisor    directory = shared_directory()
                  metrics = Metrics("worker", shared=SharedFiles(directory, "supervisor"))
                  WorkerMetrics(metrics, …)                  # makes every known series, at 0
                  server = metrics.serve(…)
                  metrics.forget("child0")                   # after each exit of a child, before the next one
                  metrics.close(); remove_directory(directory)
    child n       metrics = Metrics("worker", shared=SharedFiles(directory, f"child{n}"))
                  metrics.refresh()                          # about once a second: computed gauges

`child0` names the slot, not a process: the next child in the slot continues the same files. So counters outlive the
children, and recycling children for days makes no new files. Two processes must never have the same name at the same
time. No environment variable is needed, and the order of imports does not matter.
"""

from __future__ import annotations

import copy
import logging
import os
import platform
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, ProcessCollector, values
from prometheus_client.core import GaugeMetricFamily

from ..version import __version__
from .metrics_families import MAX_TASK_NAMES, OTHER, Dependency, Family, GrowingLabel, Histogram, Labels, M
from .metrics_files import SharedCollector, SharedFiles, remove_directory, shared_directory
from .metrics_server import MetricsPortTaken, MetricsServer

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = [
    "HTTP_SECONDS",
    "MAX_TASK_NAMES",
    "OTHER",
    "QUEUE_WAIT_SECONDS",
    "RUN_SECONDS",
    "Dependency",
    "Family",
    "GrowingLabel",
    "Metrics",
    "MetricsPortTaken",
    "MetricsServer",
    "SharedFiles",
    "remove_directory",
    "shared_directory",
]

log = logging.getLogger(__name__)

PREFIX = "taskyard"

# Steps of two to five, enough for an SLO at any of these bounds. Each bound costs one series for each label set.
RUN_SECONDS = (0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 30, 60, 120, 300, 600)
# From a wake-up at once to a queue without workers for a day.
QUEUE_WAIT_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 3600, 86400)
# Up to `?wait=60`.
HTTP_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
# From a commit on a fast disk to the time-out of statements.
TRANSACTION_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)

Mode = Literal["livesum", "livemin", "livemax", "livemostrecent"]


class Metrics:
    """One service's metrics. All names get the prefix `taskyard_`.

    `shared`: count in files that another process serves. Gauges always name the mode that combines those of several
    processes; only modes that forget dead processes are allowed. `dependencies`: those that the service talks to
    itself.
    """

    def __init__(
        self,
        service: str,
        *,
        shared: SharedFiles | None = None,
        version: str = __version__,
        dependencies: Sequence[str] = ("database", "redis"),
    ) -> None:
        # Creation times would double the number of series, and get lost in shared files.
        disable_created: Any = prometheus_client.disable_created_metrics
        disable_created()
        self._shared = shared
        self.is_shared = shared is not None
        self._value_class: Any = values.MutexValue if shared is None else shared.value_class()
        self._refreshers: list[Callable[[], None]] = []
        # The labels of each metric by its name, also of those that are shown at times only (`shown_while`).
        self.made: dict[str, tuple[str, ...]] = {}
        self.registry = CollectorRegistry()
        # The registry that is served: in shared mode, the sum over the files.
        self.exposed = self.registry if shared is None else CollectorRegistry()
        self.exposed.register(_BuildInfo(service, version))
        ProcessCollector(registry=self.exposed)
        if shared is not None:
            self.exposed.register(SharedCollector(shared.directory))
        self._dependencies = self.gauges(
            "dependency_up",
            "1 while the dependency answers; 0 before its first answer.",
            {"dependency": dependencies},
            mode="livemin",
        )

    @property
    def unset(self) -> float:
        """The value of a `livemin` gauge without a value: it does not count, and is shown as 0."""
        return 0.0 if self._shared is None else float("inf")

    def shown_while(self, condition: Callable[[], bool]) -> Metrics:
        """For metrics that are exported only while `condition` holds, because they would be stale otherwise."""
        assert self._shared is None, "shared files cannot be hidden"
        part = copy.copy(self)
        part.registry = CollectorRegistry()
        self.exposed.register(_Conditional(part.registry, condition))
        return part

    def counter(self, name: str, help_: str) -> Counter:
        return self._make(Counter, name, help_)

    def counters(
        self, name: str, help_: str, labels: Labels, *, known: Iterable[Sequence[str]] | None = None
    ) -> Family[Counter]:
        """`labels`: each label with the registry of its values. `known`: the label sets that exist from the start, at
        0; by default, the whole product."""
        return self._family(self._make(Counter, name, help_, labels), labels, known)

    def gauge(self, name: str, help_: str, *, mode: Mode) -> Gauge:
        made = self._make(Gauge, name, help_, multiprocess_mode=_checked(mode))
        if mode == "livemin":
            made.set(self.unset)
        return made

    def gauges(
        self,
        name: str,
        help_: str,
        labels: Labels,
        *,
        mode: Mode,
        known: Iterable[Sequence[str]] | None = None,
    ) -> Family[Gauge]:
        metric = self._make(Gauge, name, help_, labels, multiprocess_mode=_checked(mode))
        return self._family(metric, labels, known, self.unset if mode == "livemin" else None)

    def histogram(self, name: str, help_: str, *, buckets: Sequence[float]) -> Histogram:
        return self._make(Histogram, name, help_, buckets=buckets)

    def histograms(
        self,
        name: str,
        help_: str,
        labels: Labels,
        *,
        buckets: Sequence[float],
        known: Iterable[Sequence[str]] | None = None,
    ) -> Family[Histogram]:
        return self._family(self._make(Histogram, name, help_, labels, buckets=buckets), labels, known)

    def transactions(self, *operations: str) -> Family[Histogram]:
        """For `with transactions["claim"].time(): …` around each of these operations on PostgreSQL, failed ones
        included: one that was given up after thirty seconds says more than any other."""
        return self.histograms(
            "db_transaction_seconds",
            "From asking for a connection to PostgreSQL to the end of the transaction.",
            {"operation": operations},
            buckets=TRANSACTION_SECONDS,
        )

    def dependency(self, name: Literal["database", "redis"]) -> Dependency:
        return Dependency(name, self._dependencies[name])

    def watch_pool(self, *engines: Engine, more: Callable[[], Iterable[Engine]] = tuple) -> None:
        """Exports `db_pool_connections{state}` of these engines together, computed at each refresh. `more`: asked each
        time, for engines that are made later."""
        states = self.gauges(
            "db_pool_connections",
            "Connections to PostgreSQL in the pool.",
            {"state": ("in_use", "idle")},
            mode="livesum",
        )

        def look() -> None:
            pools: list[Any] = [engine.pool for engine in (*engines, *more())]
            states["in_use"].set(sum(pool.checkedout() for pool in pools))
            states["idle"].set(sum(pool.checkedin() for pool in pools))

        self.on_refresh(look)

    def on_refresh(self, look: Callable[[], None]) -> None:
        """`look` sets gauges that are computed on demand: before each scrape, at each `refresh`."""
        self._refreshers.append(look)

    def refresh(self) -> None:
        for look in self._refreshers:
            try:
                look()
            except Exception:  # a scrape shows the others; the next one may show this
                log.debug("metrics_refresh_failed", exc_info=True)

    def serve(self, host: str, port: int) -> MetricsServer:
        """Serves `/metrics` until `stop()`; port 0 takes a free one.

        Raises MetricsPortTaken with one line for people.
        """
        return MetricsServer(self.exposed, host, port, refresh=self.refresh)

    def forget(self, process: str) -> None:
        """Removes the gauges of a process that has ended; its counters and histograms stay."""
        if self._shared is not None:
            self._shared.forget(process)

    def close(self) -> None:
        """Closes the shared files; nothing may be counted afterwards."""
        if self._shared is not None:
            self._value_class.close_all_files()

    def _family(
        self,
        metric: M,
        labels: Labels,
        known: Iterable[Sequence[str]] | None,
        initial: float | None = None,
    ) -> Family[M]:
        def make(values_: tuple[str, ...]) -> M:
            with self._own_values():
                child = metric.labels(*values_)
            if initial is not None and isinstance(child, Gauge):
                child.set(initial)
            return child

        return Family(make, labels, known)

    def _make(self, kind: type[M], name: str, help_: str, labels: Labels | None = None, **more: Any) -> M:
        self.made[f"{PREFIX}_{name}"] = tuple(labels or ())
        with self._own_values():
            return kind(f"{PREFIX}_{name}", help_, tuple(labels or ()), registry=self.registry, **more)

    @contextmanager
    def _own_values(self) -> Iterator[None]:
        """Metrics made in this block use our value class; prometheus_client knows only one for the whole process."""
        with _value_class_lock:
            class_, directory = values.ValueClass, os.environ.get(_DIRECTORY)
            values.ValueClass = self._value_class
            if self._shared is not None:
                os.environ[_DIRECTORY] = str(self._shared.directory)
            try:
                yield
            finally:
                values.ValueClass = class_
                if directory is None:
                    os.environ.pop(_DIRECTORY, None)
                else:
                    os.environ[_DIRECTORY] = directory


_value_class_lock = threading.Lock()
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


def _checked(mode: Mode) -> Mode:
    # Other modes keep the last values of dead processes, or label each series with a process id.
    if not re.fullmatch("live(sum|min|max|mostrecent)", mode):
        raise ValueError(f"a gauge cannot have the mode {mode!r}: it would outlive its process")
    return mode


class _Conditional(prometheus_client.registry.Collector):
    def __init__(self, registry: CollectorRegistry, condition: Callable[[], bool]) -> None:
        self._registry = registry
        self._condition = condition

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect() if self._condition() else []


class _BuildInfo(prometheus_client.registry.Collector):
    def __init__(self, service: str, version: str) -> None:
        self._labels = {"service": service, "version": version, "python": platform.python_version()}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(f"{PREFIX}_build_info", "Always 1; what is running.", labels=list(self._labels))
        family.add_metric(list(self._labels.values()), 1)
        yield family
