"""The supervisor's metrics: the sum of what the children count, and what only the supervisor sees."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from taskyard.settings import Settings
from taskyard.telemetry.metrics import GrowingLabel, Metrics, SharedFiles, remove_directory, shared_directory

from ..memory import group_limit, used_together
from ..metrics import DIRECTORY_VARIABLE, PROCESS_VARIABLE, NamedType, WorkerMetrics
from ..programs import family

RECOVERY_CAUSES = ("child", "unheld", "asserted")
RESTART_CAUSES = ("retired", "exit", "signal", "limit")
RETIREMENTS = (
    *("max_tasks", "max_memory", "max_descriptors", "max_threads", "interrupted", "abandoned"),
    *("terminated", "reload", "rescaled", "no_suspects", "other"),
)


class ChildMetrics:
    """Why children ended."""

    def __init__(self, metrics: Metrics, names: GrowingLabel) -> None:
        self.restarted = metrics.counters(
            "worker_children_restarted_total", "Children that ended and were replaced.", {"cause": RESTART_CAUSES}
        )
        self.by_tasks = metrics.counters(
            "worker_children_ended_by_tasks_total",
            "Children that had to end because of a task: past its limit, not stopping, or crashing alone.",
            {"task": names},
        )
        self.slowed = metrics.counters(
            "tasks_slowed_total",
            "Times that a task type was left alone for a while, because it keeps ending children.",
            {"task": names},
        )
        self.retired = metrics.counters(
            "worker_children_retired_total",
            "Children that took no more tasks while the worker went on, by why.",
            {"why": RETIREMENTS},
        )


class MemoryMetrics:
    """Looked at before each scrape, apart from the kills, of which the supervisor tells."""

    def __init__(self, metrics: Metrics) -> None:
        self._used = metrics.gauge(
            "worker_memory_bytes",
            "Memory of the supervisor, its children and what their tasks started, together.",
            mode="livesum",
        )
        self._limit = metrics.gauge(
            "worker_memory_limit_bytes", "Memory that the worker's container may use; 0: no limit.", mode="livesum"
        )
        self.kills = metrics.counter(
            "worker_oom_kills_total", "Processes of the worker's container that the kernel killed for want of memory."
        )
        metrics.on_refresh(self._look)

    def _look(self) -> None:
        self._used.set(used_together(family()))
        self._limit.set(group_limit() or 0)


class SupervisorMetrics:
    """Serves what the children count, and counts what only the supervisor sees. Raises MetricsPortTaken with one line
    for people."""

    def __init__(self, settings: Settings, queues: Sequence[str]) -> None:
        self._directory = shared_directory()
        try:
            self.metrics = Metrics("worker", shared=SharedFiles(self._directory, "supervisor"))
            of_children = WorkerMetrics(self.metrics, (), queues)
            self._attempts = of_children.attempts
            self._children = ChildMetrics(self.metrics, self._attempts.names)
            self._memory = MemoryMetrics(self.metrics)
            self._recovered = self.metrics.counters(
                "tasks_recovered_total",
                "Running tasks that were taken back from a worker or child that could not finish them.",
                {"cause": RECOVERY_CAUSES},
            )
            self.server = self.metrics.serve(settings.metrics_host, settings.metrics_port)
        except BaseException:
            remove_directory(self._directory)
            raise
        self.lost = self._attempts.lost
        self.forced = self._attempts.forced
        self.totals = self._attempts.totals
        self.program_left = of_children.program_left

    def know(self, types: Collection[NamedType]) -> None:
        """These types have series of their own, which begin at 0."""
        self._attempts.know(types)
        for counts in (self._children.by_tasks, self._children.slowed):
            counts.know([named.name] for named in types)

    def environment(self, index: int) -> dict[str, str]:
        """For a child's environment: where it counts. `index` is its slot, used again by the next child."""
        return {DIRECTORY_VARIABLE: str(self._directory), PROCESS_VARIABLE: _process(index)}

    def child_ended(self, index: int, cause: str | None) -> None:
        """Before the next child of that index starts. Its gauges go with it; what it counted stays. `cause` is one of
        RESTART_CAUSES, or None where no other child replaces it."""
        self.metrics.forget(_process(index))
        if cause is not None:
            self._children.restarted[cause].inc()

    def ended_by_task(self, name: str, is_slowed: bool) -> None:
        """A child had to end because of a task of this type, which is slowed, if so."""
        self._children.by_tasks[name].inc()
        if is_slowed:
            self._children.slowed[name].inc()

    def child_retired(self, why: str) -> None:
        self._children.retired[why if why in RETIREMENTS else "other"].inc()

    def killed_for_memory(self, processes: int) -> None:
        self._memory.kills.inc(processes)

    def recovered(self, cause: str, tasks: int) -> None:
        """Running tasks that were taken back; `cause` is one of RECOVERY_CAUSES."""
        self._recovered[cause].inc(tasks)

    def stop(self) -> None:
        self.server.stop()
        self.metrics.close()
        remove_directory(self._directory)


def _process(index: int) -> str:
    return f"child{index}"
