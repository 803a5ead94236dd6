"""What children count; the supervisor serves the sum (`taskyard.telemetry.metrics`)."""

from __future__ import annotations

import os
import time
from collections import Counter as Count
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from taskyard.domain.tasks import Change, Failed, FailureKind, Outcome, Released, RetryIn, State
from taskyard.lifecycle.claim import Claimed
from taskyard.lifecycle.rescue import Guilt, Lost
from taskyard.telemetry.metrics import (
    QUEUE_WAIT_SECONDS,
    RUN_SECONDS,
    GrowingLabel,
    Metrics,
    SharedFiles,
)

if TYPE_CHECKING:
    from .child.claim_table import ClaimTable
    from .child.writer import End
    from .supervisor.handle import ForcedEnd

DIRECTORY_VARIABLE = "TASKYARD_METRICS_DIR"
PROCESS_VARIABLE = "TASKYARD_METRICS_PROCESS"

OUTCOMES = ("succeeded", "failed", "retrying", "cancelled", "released", "crashed")
DEAD_LETTER_REASONS = ("max_attempts", "not_retryable", "crash_limit")
LEFT = ("program", "copy", "daemon")

# The outcome of an attempt, by the state it left its task in.
_OUTCOME = {
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.RETRYING: "retrying",
    State.CANCELLED: "cancelled",
    State.QUEUED: "released",
}


class NamedType(Protocol):
    """A task type, or its spec."""

    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str: ...


class AttemptMetrics:
    """Attempts that ended: in a child by themselves, or recorded by the supervisor.

    `totals`: those of this process, by their outcome, for the worker's heartbeat.
    """

    def __init__(self, metrics: Metrics, queues: Sequence[str]) -> None:
        self._queues = frozenset(queues)
        self.names = GrowingLabel()
        self.totals: Count[str] = Count()
        both = {"queue": queues, "task": self.names}
        self._attempts = metrics.counters(
            "task_attempts_total", "Attempts that ended, by their outcome.", {**both, "outcome": OUTCOMES}
        )
        self._failures = metrics.counters(
            "task_failures_total", "Attempts that did not succeed, by why.", {**both, "kind": tuple(FailureKind)}
        )
        self._run_seconds = metrics.histograms("task_run_seconds", "How long attempts ran.", both, buckets=RUN_SECONDS)
        self._retried = metrics.counter("tasks_retried_total", "Attempts that will be followed by another.")
        self._dead = metrics.counters(
            "tasks_dead_lettered_total", "Tasks that failed for good.", {"reason": DEAD_LETTER_REASONS}
        )

    def know(self, types: Iterable[NamedType], *, from_start: bool = True) -> None:
        """These types have series of their own, which begin at 0, up to the ceiling of `GrowingLabel`. `from_start`: in
        this process. The supervisor shows them for its children; the thousands of them would cost each child megabytes.
        """
        for named in sorted(types, key=lambda t: t.name):
            # A task may be sent to another queue than its type's: that series is made when it happens.
            if self.names.add(named.name) and named.queue in self._queues:
                pair = (named.queue, named.name)
                self._attempts.know([(*pair, outcome) for outcome in OUTCOMES], from_start=from_start)
                self._failures.know([(*pair, kind) for kind in FailureKind], from_start=from_start)
                self._run_seconds.know([pair], from_start=from_start)

    def succeeded(self, queue: str, name: str, run_seconds: Sequence[float]) -> None:
        """As `ended`, for many at a time."""
        word = _OUTCOME[State.SUCCEEDED]
        self.totals[word] += len(run_seconds)
        self._attempts[queue, name, word].inc(len(run_seconds))
        self._run_seconds[queue, name].observe_all(run_seconds)

    def ended(self, queue: str, name: str, outcome: Outcome, state: State, run_seconds: float) -> None:
        """`state` is the state of the task now."""
        word = _OUTCOME.get(state, "")
        self.totals[word] += 1
        self._attempts[queue, name, word].inc()
        self._run_seconds[queue, name].observe(run_seconds)
        match outcome:
            case Failed(fault) | RetryIn(fault, _):
                self._failures[queue, name, fault.kind].inc()
                if state is State.FAILED:
                    self._dead["max_attempts" if fault.retryable else "not_retryable"].inc()
            case Released():
                self._failures[queue, name, FailureKind.SHUTDOWN].inc()
            case _:
                pass
        if state is State.RETRYING:
            self._retried.inc()

    def forced(self, end: ForcedEnd, changes: Sequence[Change]) -> None:
        """An attempt was ended by force; `changes` is empty where it had ended by itself before."""
        for change in changes:
            self.ended(change.queue, change.name, end.outcome, change.state, end.run_seconds)

    def lost(self, items: Sequence[Lost], changes: Sequence[Change]) -> None:
        """Claims died with a child: `changes` are those that were recorded."""
        guilt = {item.task_id: item.guilt for item in items}
        for change in changes:
            found = guilt[change.task_id]
            # A suspect pays only where it was suspected too often.
            if found is Guilt.GUILTY or (found is Guilt.SUSPECT and change.state is State.FAILED):
                self.totals["crashed"] += 1
                self._attempts[change.queue, change.name, "crashed"].inc()
                self._failures[change.queue, change.name, FailureKind.CRASH].inc()
                if change.state is State.FAILED:
                    self._dead["crash_limit"].inc()


class WorkerMetrics:
    """All metrics of a child, with known label sets at 0. They cost some microseconds a task.

    `claimed` is called by one thread (the consumer's), `recorded` and `fenced` by one (the writer's).
    """

    def __init__(self, metrics: Metrics, types: Iterable[NamedType], queues: Sequence[str]) -> None:
        self.metrics = metrics
        self.attempts = AttemptMetrics(metrics, queues)
        self.attempts.know(types, from_start=not metrics.is_shared)
        one = {"queue": queues}
        self._waits = metrics.histograms(
            "task_queue_wait_seconds",
            "From when a task was due in its queue to its claim.",
            one,
            buckets=QUEUE_WAIT_SECONDS,
        )
        self._in_progress = metrics.gauges(
            "tasks_in_progress", "Tasks that are claimed and not yet recorded.", one, mode="livesum"
        )
        self._longest = metrics.gauges(
            "longest_running_task_start_timestamp_seconds",
            "When the task that has run longest was claimed; 0 where none runs.",
            one,
            mode="livemin",
        )
        self._slots = metrics.gauge("worker_slots", "Tasks that can run at a time in threads.", mode="livesum")
        self._busy = metrics.gauge("worker_slots_busy", "Tasks that run now.", mode="livesum")
        self._polled = metrics.gauge(
            "worker_last_poll_timestamp_seconds",
            "When the child that is furthest behind last asked for work.",
            mode="livemin",
        )
        self._fenced = metrics.counter(
            "fenced_writes_total", "Ends that were not recorded, because the claim was lost by then."
        )
        self._transactions = metrics.transactions("claim", "finish")
        self._queues = tuple(queues)
        left = metrics.counters(
            "task_programs_left_total", "Programs and copies of their process that tasks left running.", {"kind": LEFT}
        )
        self.program_left: Callable[[str], None] = lambda kind: left[kind].inc()
        # Two counts instead of one, so that each is written by a single thread.
        self._claims: Count[str] = Count()
        self._ends: Count[str] = Count()

    @classmethod
    def of_child(cls, types: Iterable[NamedType], queues: Sequence[str]) -> WorkerMetrics:
        """Counts in the files that the supervisor named; without a supervisor in this process only."""
        directory, process = os.environ.get(DIRECTORY_VARIABLE), os.environ.get(PROCESS_VARIABLE)
        shared = SharedFiles(Path(directory), process) if directory and process else None
        return cls(Metrics("worker", shared=shared), types, queues)

    # For the consumer

    def claiming(self) -> AbstractContextManager[object]:
        return self._transactions["claim"].time()

    def claimed(self, works: Sequence[Claimed]) -> None:
        waits: dict[str, list[float]] = defaultdict(list)
        for work in works:
            waits[work.queue].append(max(0.0, work.waited_seconds))
        for queue, seconds in waits.items():
            self._waits[queue].observe_all(seconds)
            self._claims[queue] += len(seconds)

    # For the writer

    def finishing(self) -> AbstractContextManager[object]:
        return self._transactions["finish"].time()

    def recorded(self, ends: Iterable[tuple[End, State]]) -> None:
        """Outcomes were recorded, each with the state that its task is in now."""
        succeeded: dict[tuple[str, str], list[float]] = defaultdict(list)
        for end, state in ends:
            work = end.slot.work
            if work is None:
                continue
            self._ends[work.queue] += 1
            if end.run_seconds is None:
                continue  # the claim had not begun: no attempt was made
            if state is State.SUCCEEDED:
                succeeded[work.queue, work.name].append(end.run_seconds)
            else:
                self.attempts.ended(work.queue, work.name, end.outcome, state, end.run_seconds)
        for (queue, name), seconds in succeeded.items():
            self.attempts.succeeded(queue, name, seconds)

    def fenced(self, end: End) -> None:
        self._fenced.inc()
        if end.slot.work is not None:
            self._ends[end.slot.work.queue] += 1

    # For the child's main thread

    def update_gauges(self, table: ClaimTable, polled: float) -> None:
        """Once a second is enough. `polled` is in CLOCK_MONOTONIC seconds."""
        # From the monotonic to the wall clock, which Prometheus compares with its own.
        offset = time.time() - time.monotonic()
        begun = table.begun_since()
        for queue in self._queues:
            self._in_progress[queue].set(max(0, self._claims[queue] - self._ends[queue]))
            self._longest[queue].set(begun[queue] + offset if queue in begun else self.metrics.unset)
        self._slots.set(table.threads)
        self._busy.set(table.running)
        self._polled.set(polled + offset)
        self.metrics.refresh()
