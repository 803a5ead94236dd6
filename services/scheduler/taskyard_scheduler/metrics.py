"""The scheduler's metrics. A standby exports none of the leader's: no numbers rather than stale ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taskyard.domain.tasks import LIVE
from taskyard.schedules.firing import Fired
from taskyard.store.schedules import OUTCOMES
from taskyard.telemetry.metrics import GrowingLabel, Metrics

from .leader import Leadership, Term

STATES = tuple(sorted(LIVE))


def _shown_by_leader(metrics: Metrics, leadership: Leadership) -> Metrics:
    return metrics.shown_while(lambda: leadership.term is not None)


class SchedulerMetrics:
    """Leadership, and what the leader's jobs did."""

    def __init__(self, metrics: Metrics, leadership: Leadership) -> None:
        self.is_leader = metrics.gauge("scheduler_is_leader", "1 while this process leads.", mode="livesum")
        metrics.on_refresh(lambda: self.is_leader.set(leadership.term is not None))
        self.last_tick = metrics.gauge(
            "scheduler_last_tick_timestamp_seconds", "When the jobs last turned.", mode="livemax"
        )
        self.relayed = metrics.counter("outbox_relayed_total", "Tasks published by the relay.")
        self.reconciled = metrics.counter(
            "tasks_reconciled_total", "Queued tasks published again because Redis had lost their message."
        )
        self.recovered = metrics.counters(
            "tasks_recovered_total", "Running tasks taken back from lost workers.", {"cause": ("worker_lost",)}
        )
        self.dead_lettered = metrics.counters(
            "tasks_dead_lettered_total", "Tasks that failed for good.", {"reason": ("crash_limit", "expired")}
        )
        leader = _shown_by_leader(metrics, leadership)
        self.outbox_pending = leader.gauge("outbox_pending", "Outbox rows that wait.", mode="livesum")
        self.outbox_oldest = leader.gauge(
            "outbox_oldest_timestamp_seconds", "Since when the oldest outbox row waits; 0: none.", mode="livemax"
        )
        self.unaccounted = leader.gauge(
            "tasks_unaccounted",
            "Queued tasks that Redis did not know of, as last found; shown for a minute after they went out again.",
            mode="livesum",
        )


# To milliseconds, and beyond the time that a change of leaders takes.
_DRIFT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)


class ScheduleMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self.fires = metrics.counters(
            "schedule_fires_total", "Due times of schedules, by what became of them.", {"outcome": OUTCOMES}
        )
        self.drift = metrics.histogram(
            "schedule_drift_seconds",
            "How much later than its due time, with its jitter, a task of a schedule was submitted.",
            buckets=_DRIFT_SECONDS,
        )

    def count(self, fired: Fired) -> None:
        for outcome in fired.outcomes:
            self.fires[outcome].inc()
        for seconds in fired.drifts:
            self.drift.observe(seconds)


class BrokerMetrics:
    def __init__(self, metrics: Metrics, leadership: Leadership) -> None:
        leader = _shown_by_leader(metrics, leadership)
        self.up = leader.gauge("broker_up", "1 while Redis answers.", mode="livemin")
        self.memory = leader.gauge("broker_memory_bytes", "Memory that Redis uses.", mode="livemax")
        self.max_memory = leader.gauge(
            "broker_max_memory_bytes", "Memory that Redis may use; 0: no limit.", mode="livemax"
        )
        self.evicted = leader.counter(
            "broker_evicted_keys_total", "Keys that Redis evicted for lack of memory; each may be queued work."
        )


class InTerm:
    """Whether something was counted in the current term: what an earlier one found is not shown, and 0 would tell an
    autoscaler that no task waits."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._epoch: int | None = None

    def is_known(self) -> bool:
        term = self._leadership.term
        return term is not None and term.epoch == self._epoch

    def counted(self, term: Term) -> None:
        self._epoch = term.epoch


class DepthMetrics:
    """How many tasks wait, and how many dead letters there are, exported once they were counted in a term."""

    def __init__(self, metrics: Metrics, queues: Sequence[str], leadership: Leadership) -> None:
        self._queues = frozenset(queues)
        self._names = GrowingLabel()
        self._depth, self._dead = InTerm(leadership), InTerm(leadership)
        self._counted_at = 0.0
        self.failures = metrics.counter(
            "scheduler_snapshot_failures_total", "Counts of the ledger that failed or were given up."
        )
        _shown_by_leader(metrics, leadership).gauge(
            "scheduler_snapshot_timestamp_seconds",
            "When the queues were last counted; 0 before the first count of a term.",
            mode="livemax",
        ).set_function(lambda: self._counted_at if self._depth.is_known() else 0.0)
        depth = metrics.shown_while(self._depth.is_known)
        self.tasks = depth.gauges(
            "queue_tasks", "Tasks in the ledger that are not final.", {"queue": queues, "state": STATES}, mode="livesum"
        )
        self.oldest = depth.gauges(
            "queue_oldest_timestamp_seconds",
            "Since when the longest waiting queued task waits; 0: none.",
            {"queue": queues},
            mode="livemax",
        )
        self.workers = depth.gauges(
            "queue_workers", "Living workers that serve the queue.", {"queue": queues}, mode="livesum"
        )
        self.paused = depth.gauges("queue_paused", "1 while the queue is paused.", {"queue": queues}, mode="livesum")
        dead = metrics.shown_while(self._dead.is_known)
        self.dead_letters = dead.gauges(
            "dead_letters",
            "Failed tasks that were neither retried nor discarded; 10,000 are counted at most.",
            {"queue": queues, "task": self._names},
            mode="livesum",
            known=(),
        )
        self.errors_returned = dead.gauges(
            "errors_returned", "Groups of failures that were solved and came back.", {"queue": queues}, mode="livesum"
        )

    def know(self, usual_queues: Mapping[str, str]) -> None:
        """The registered types with their queues have series of their own, up to the ceiling of `GrowingLabel`."""
        for name, queue in sorted(usual_queues.items()):
            if self._names.add(name) and queue in self._queues:
                self.dead_letters.know([(queue, name)])

    def queues_counted(self, term: Term, at: float) -> None:
        """`at`: when, in seconds since 1970."""
        self._counted_at = at
        self._depth.counted(term)

    def dead_letters_counted(self, term: Term) -> None:
        self._dead.counted(term)
