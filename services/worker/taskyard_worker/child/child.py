"""The child: what the process's main thread does with its parts, a few times a second."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog
from dramatiq import Worker

from taskyard.domain.errors import SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.tasks import Cancelled, Released
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.running.hooks import Hooks

from ..metrics import WorkerMetrics
from ..quarantine.consumer import SuspectConsumer
from ..slots import Kind, Phase, SlotTable
from .claim_table import SHOWS_WITHIN_SECONDS, ClaimTable
from .consumer import TaskConsumer
from .event_loop import EventLoop
from .leftovers import Leftovers
from .runner import Records
from .slot import Slot
from .slowed import Slowed
from .wear import Wear, Worn
from .writer import End, Writer

log = structlog.stdlib.get_logger(__name__)

_TICK_SECONDS = 0.25
_RETIRING_TICK_SECONDS = 0.03
# While something is claimed and has not begun.
_AHEAD_TICK_SECONDS = 0.1
_LOOK_SECONDS = 1.0
_STOPPING = "the worker is stopping"
# How long the end of a broken child may take: its tasks are held as long.
_SAVE_SECONDS = 5.0


class Disposable(Protocol):
    """What has connections to PostgreSQL: an engine, or the database of tasks."""

    def dispose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    slots: SlotTable
    table: ClaimTable
    dispatcher: Dispatcher
    writer: Writer
    consumer: TaskConsumer | SuspectConsumer
    slowed: Slowed
    threads: Worker
    loop: EventLoop
    metrics: WorkerMetrics
    hooks: Hooks
    wear: Wear
    leftovers: Leftovers
    engines: Sequence[Disposable]


class Interrupter:
    """Raises soft limits and cancellations in the tasks that this child runs."""

    def __init__(self, table: ClaimTable, records: Records) -> None:
        self._table = table
        self._records = records
        self._cancellations: list[Slot] = []

    def cancel(self, task_id: UUID, claim: UUID) -> None:
        """A user cancelled this task."""
        if (slot := self._table.find(task_id, claim)) is not None:
            self._cancellations.append(slot)
            self.turn()

    def turn(self) -> None:
        """Interrupts what can be interrupted now; the rest stays for the next turn."""
        for slot in self._table.past_soft_limit():
            if slot.run is not None and slot.run.interrupt(SoftTimeLimitExceeded):
                slot.is_told = True
                self._records.note(slot.task_id, slot.claim, "soft_time_limit", {})
        if self._cancellations:
            self._cancellations = [slot for slot in self._cancellations if not self._cancel(slot)]

    def _cancel(self, slot: Slot) -> bool:
        """Whether nothing is left to do."""
        if self._table.withdraw(slot):
            self._records.end(End(slot, Cancelled("cancelled before it began"), None, time.monotonic()))
            return True
        if slot.phase is Phase.CLAIMING:
            slot.is_cancelled = True
            return False  # PostgreSQL knows the claim already, and its answer is on the way
        if slot.phase is not Phase.BEGUN:
            return True
        if slot.run is None or not slot.run.interrupt(TaskCancelled):
            return False  # it begins or ends at this moment, or was told of its limit just now
        self._records.note(slot.task_id, slot.claim, "cancel_delivered", {})
        return True


class Child:
    """Belongs to the main thread. `start`, then `turn` until `is_done`, then `stop`; `retire` once in between."""

    def __init__(self, parts: Parts, *, max_tasks: int) -> None:
        self._parts = parts
        self._max_tasks = max_tasks
        self._interrupter = Interrupter(parts.table, parts.writer)
        self._retired = False
        self._look_at = 0.0
        self._figures_at = 0.0
        self.has_abandoned = False
        """Whether an attempt that was recorded as over may still run here."""

    def start(self) -> None:
        self._parts.dispatcher.start()
        self._parts.writer.start()
        self._parts.threads.start()

    def turn(self) -> None:
        """Reports to the supervisor, gives back claims that have not begun, interrupts tasks."""
        parts = self._parts
        parts.slots.report(
            pid=os.getpid(),
            tick=time.monotonic(),
            polled=parts.consumer.polled,
            fetched=parts.consumer.fetched,
            wrote=parts.writer.wrote,
            runs=parts.table.runs,
        )
        parts.slots.count(parts.metrics.attempts.totals)
        if self._retired:
            self._release(parts.table.give_back(), _STOPPING)
        else:
            self._release(parts.table.give_back_stalled(), "no thread was free in time")
        self._interrupter.turn()
        if time.monotonic() < self._figures_at:
            return
        self._figures_at = time.monotonic() + _TICK_SECONDS
        if not parts.table.running:
            for left in parts.leftovers.of_all_threads():
                log.warning("program_left", pid=left.pid, command=left.name)
        try:
            parts.metrics.update_gauges(parts.table, parts.consumer.polled)
        except Exception:  # figures are not worth a child with all its tasks
            log.exception("metrics_failed")

    def next_turn(self) -> float:
        """In how many seconds the next turn is due."""
        if self._retired:
            return _RETIRING_TICK_SECONDS
        return _AHEAD_TICK_SECONDS if self._parts.table.unbegun else _TICK_SECONDS

    def cancel(self, task_id: UUID, claim: UUID) -> None:
        """A user cancelled this task."""
        self._interrupter.cancel(task_id, claim)

    def abandon(self, task_id: UUID, claim: UUID) -> None:
        """The supervisor recorded this attempt as over, although it still runs: nothing waits for it any more."""
        if (slot := self._parts.table.find(task_id, claim)) is not None:
            self.has_abandoned = True
            self._parts.table.forget([slot])

    def slow(self, until: Mapping[str, float]) -> None:
        """Leaves these tasks alone until these times (`Slowed`)."""
        self._parts.slowed.replace(until)

    def resume(self, queues: Sequence[str]) -> None:
        """These queues are no longer paused."""
        self._parts.consumer.resume(queues)

    def recall(self, queues: Sequence[str]) -> None:
        """These were paused, limited or purged: what has not begun of them is given back."""
        self._release(self._parts.table.give_back(queues), "its queue was changed before it began")

    def met_suspects(self) -> bool:
        """Whether a task came by since the last call that has to run apart."""
        return self._parts.consumer.met_suspects()

    def why_retire(self) -> str | None:
        """Why it should take no more tasks, now."""
        exhausted = self._parts.wear.exhausted
        return self._parts.consumer.why_retire() if exhausted is None else exhausted.why

    def why_worn(self) -> Worn | None:
        """Why another child should replace it. It works on until that one is ready, where it can."""
        table, wear, now = self._parts.table, self._parts.wear, time.monotonic()
        if wear.exhausted is not None:
            return wear.exhausted
        # Not before its first task: where a limit is too low for any child, an idle one would be replaced for ever.
        if now >= self._look_at and (table.runs or table.running):
            self._look_at = now + _LOOK_SECONDS
            if (worn := wear.look()) is not None:
                return worn
        if table.interrupted_thread:
            return Worn("interrupted")  # the exception may have left shared state half changed
        if self._max_tasks and table.runs >= self._max_tasks:
            return Worn("max_tasks", table.runs, self._max_tasks)
        return None

    def broken_thread(self) -> str | None:
        """Which thread of the platform has ended, if one has. None does by itself: a task has raised into it."""
        parts = self._parts
        vital = {"writer": [parts.writer.thread], "dispatcher": [parts.dispatcher.thread]}
        vital |= {"consumer": [*parts.threads.consumers.values()], "task thread": [*parts.threads.workers]}
        if parts.loop.thread is not None:
            vital["event loop"] = [parts.loop.thread]
        return next((name for name, threads in vital.items() if not all(t.is_alive() for t in threads)), None)

    def ended_lately(self) -> set[Kind]:
        """The kinds of the tasks that ran and may have broken the child before they ended."""
        ends = self._parts.writer.ended_since(time.monotonic() - SHOWS_WITHIN_SECONDS)
        works = (end.slot.work for end in ends)
        return {(work.name, work.submitted_by or "") for work in works if work is not None}

    def save(self) -> None:
        """Before a broken child ends: gives back what has not begun, and records what has ended."""
        self._parts.table.broken.set()
        self.retire()
        self._parts.writer.stop(_SAVE_SECONDS)
        self._parts.dispatcher.stop(timedelta(seconds=1))

    def retire(self) -> None:
        """Takes no more; what has begun goes on."""
        self._retired = True
        self._parts.wear.give_reserve()
        self._parts.consumer.drain()
        self._release(self._parts.table.give_back(), _STOPPING)

    @property
    def is_done(self) -> bool:
        """Whether it holds nothing, and nothing will come. In this order: a drained consumer has entered all that it
        took in the claim table."""
        return self._retired and self._parts.consumer.is_drained and not self._parts.table.busy

    def stop(self) -> None:
        """After the last task: records and announces what is left."""
        self._parts.threads.stop(timeout=100 if self.has_abandoned else 5_000)
        self._parts.writer.stop(timeout=10.0)
        self._parts.slots.count(self._parts.metrics.attempts.totals)
        self._parts.dispatcher.stop()
        self._parts.hooks.child_ending()  # whatever it does, all outcomes are recorded
        for engine in self._parts.engines:
            engine.dispose()

    def _release(self, slots: Sequence[Slot], cause: str) -> None:
        now = time.monotonic()
        for slot in slots:
            self._parts.writer.end(End(slot, Released(cause), None, now))
