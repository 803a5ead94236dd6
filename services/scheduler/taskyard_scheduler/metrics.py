"""The scheduler's metrics. A standby has none of the leader's: none at all rather than stale ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskyard.catalogue.types import Catalogue
from taskyard.domain.tasks import LIVE
from taskyard.telemetry.metrics import Metrics

STATES = tuple(sorted(LIVE))


class SchedulerMetrics:
    """`leads` and `knows_depth` decide whether the leader's metrics are exported."""

    def __init__(
        self,
        metrics: Metrics,
        catalogue: Catalogue,
        queues: Sequence[str],
        *,
        leads: Callable[[], bool],
        knows_depth: Callable[[], bool],
    ) -> None:
        self.metrics = metrics
        types: Any = catalogue.__iter__()
        self.is_leader = metrics.gauge("scheduler_is_leader", "1 while this process leads.", mode="livesum")
        metrics.on_refresh(lambda: self.is_leader.set(leads()))
        self.last_tick = metrics.gauge(
            "scheduler_last_tick_timestamp_seconds", "When the jobs last turned.", mode="livemax"
        )
        self.relayed = metrics.counter("outbox_relayed_total", "Tasks published by the relay.")
        self.reconciled = metrics.counter(
            "tasks_reconciled_total", "Queued tasks published again because Redis had lost their message."
        )
        self.recovered = metrics.counters(
            "tasks_recovered_total",
            "Running tasks taken back from who could not finish them.",
            {"cause": ("worker_lost",)},
        )
        self.dead_lettered = metrics.counters(
            "tasks_dead_lettered_total",
            "Tasks that failed for good.",
            {"reason": ("crash_limit", "expired")},
        )

        leader = metrics.shown_while(leads)
        self.outbox_pending = leader.gauge("outbox_pending", "Outbox rows that wait.", mode="livesum")
        self.outbox_oldest = leader.gauge(
            "outbox_oldest_timestamp_seconds",
            "Since when the oldest outbox row waits; 0: none.",
            mode="livemax",
        )
        self.unaccounted = leader.gauge(
            "tasks_unaccounted",
            "Queued tasks that Redis did not know of, as last found; shown for a minute after they went out again.",
            mode="livesum",
        )
        self.broker_up = leader.gauge("broker_up", "1 while Redis answers.", mode="livemin")
        self.broker_memory = leader.gauge("broker_memory_bytes", "Memory that Redis uses.", mode="livemax")
        self.broker_max_memory = leader.gauge(
            "broker_max_memory_bytes", "Memory that Redis may use; 0: no limit.", mode="livemax"
        )
        self.broker_evicted = leader.counter(
            "broker_evicted_keys_total", "Keys Redis threw away for want of memory; each may be queued work."
        )

        # Not before the first snapshot of a term: 0 would tell an autoscaler that nothing waits.
        depth = metrics.shown_while(knows_depth)
        self.queue_tasks = depth.gauges(
            "queue_tasks",
            "Tasks in the ledger that are not final.",
            {"queue": queues, "state": STATES},
            mode="livesum",
        )
        self.queue_oldest = depth.gauges(
            "queue_oldest_timestamp_seconds",
            "Since when the longest waiting queued task waits; 0: none.",
            {"queue": queues},
            mode="livemax",
        )
        self.queue_workers = depth.gauges(
            "queue_workers", "Living workers that serve the queue.", {"queue": queues}, mode="livesum"
        )
        self.dead_letters = depth.gauges(
            "dead_letters",
            "Failed tasks that nobody retried or discarded.",
            {"queue": queues, "task": catalogue.names},
            mode="livesum",
            known=[(t.queue, t.name) for t in types if t.queue in queues],
        )
