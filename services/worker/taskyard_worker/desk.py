"""The desk: a child's claims, from the fetch until their end is recorded.

It decides how much may be fetched, hands each claim to exactly one thread, and mirrors every step in the
slot table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from taskyard.domain.errors import Interrupt
from taskyard.lifecycle.claim import Claimed

from .limits import UNLIMITED, Limits
from .slots import Phase, SlotTable

# Finished tasks that wait for the writer; more would only pile up while PostgreSQL is away.
BACKLOG = 256
ASYNC_LIMIT = 100
AHEAD_SECONDS = 0.1
AHEAD_PER_THREAD = 4
_SMOOTHING = 0.2


class Interruptible(Protocol):
    """The run of a task: `interrupt.Guard` or `loop.LoopGuard`."""

    @property
    def is_touched(self) -> bool: ...

    @property
    def met_soft_limit(self) -> bool: ...

    def interrupt(self, kind: type[Interrupt]) -> bool: ...

    def check(self) -> None: ...


@dataclass(slots=True, eq=False)
class Slot:
    """One claim. `work` and its limits are there once the claim was won, `run` once it has begun."""

    index: int
    task_id: UUID
    claim: UUID
    phase: Phase
    claimed_at: float
    is_async: bool = False
    work: Claimed | None = None
    limits: Limits = UNLIMITED
    run: Interruptible | None = None
    begun_at: float = 0.0
    is_told: bool = False
    """Of its soft limit."""


class Desk:
    """Capacity: `threads` tasks at a time, claims ahead of them, and `async_limit` tasks on the event
    loop."""

    def __init__(self, table: SlotTable, *, threads: int, async_limit: int) -> None:
        self.threads = threads
        self.async_limit = async_limit
        self._table = table
        self._free = list(range(table.size))
        self._slots: dict[int, Slot] = {}
        self._means: dict[str, float] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pending = 0  # claiming, claimed, or begun in a thread
        self._unbegun = 0
        self._async = 0
        self._refill_at = -1  # while the consumer waits: how few may be unbegun before it is woken
        self._closed = False
        self.runs = 0
        self.is_touched = False
        """Whether an exception was raised into a thread of a task that has ended."""
        self.is_async: Callable[[str], bool] = lambda _: False

    @staticmethod
    def table_size(threads: int, async_limit: int) -> int:
        return threads * (1 + AHEAD_PER_THREAD) + async_limit + BACKLOG

    # For the consumer

    def ahead(self, queue: str) -> int:
        """How many may be claimed beyond the threads: what 100 ms can finish, at most 4 a thread; none
        while the queue's run time is not known."""
        mean = self._means.get(queue)
        if mean is None:
            return 0
        return min(AHEAD_PER_THREAD * self.threads, int(AHEAD_SECONDS / max(mean, 1e-6)))

    def room(self, queues: Sequence[str]) -> int:
        """How many tasks may be fetched now from these queues: as many as the slowest of them allows, or the
        quick ones would never leave it a free thread. So leave out those that are known to be empty."""
        with self._lock:
            return self._room(queues)

    def _room(self, queues: Sequence[str]) -> int:
        if self._async >= self.async_limit:
            return 0
        ahead = min((self.ahead(q) for q in queues), default=0)
        # Refill when half of the reserve is used up: a claim a task would cost a commit a task.
        if ahead and self._unbegun > ahead // 2:
            return 0
        room = self.threads + ahead - self._pending
        return max(0, min(room, len(self._free) - BACKLOG // 2))

    def wait_for_room(self, queues: Sequence[str], timeout: float) -> int:
        """Waits until something may be fetched; 0 when the time is over, or once the desk is closed."""
        deadline = time.monotonic() + timeout
        with self._changed:
            try:
                while not (room := self._room(queues)):
                    left = deadline - time.monotonic()
                    if left <= 0 or self._closed:
                        return 0
                    self._refill_at = min((self.ahead(q) for q in queues), default=0) // 2
                    self._changed.wait(left)
                return room
            finally:
                self._refill_at = -1

    def close(self) -> None:
        """No more claims are wanted: ends a wait for room."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _announce(self) -> None:
        """Wakes the consumer where it waits and there may be room; it would wake for each task otherwise."""
        if self._unbegun <= self._refill_at:
            self._changed.notify_all()

    def enter(self, ids: Sequence[UUID], claim: UUID) -> list[Slot]:
        """Takes a slot for each id, before PostgreSQL is asked for them."""
        now = time.monotonic()
        with self._lock:
            slots = []
            for task_id in ids:
                index = self._free.pop()
                self._table.enter(index, task_id, claim)
                slot = self._slots[index] = Slot(index, task_id, claim, Phase.CLAIMING, now)
                slots.append(slot)
            self._pending += len(slots)
            self._unbegun += len(slots)
        return slots

    def settle(self, slots: Sequence[Slot], won: Sequence[Claimed]) -> list[Slot]:
        """Keeps the slots whose claim was won, frees the others; returns the kept ones."""
        by_id = {work.id: work for work in won}
        now = time.monotonic()
        kept = []
        with self._changed:
            for slot in slots:
                work = by_id.get(slot.task_id)
                if work is None:
                    self._drop(slot)
                    continue
                slot.work, slot.claimed_at, slot.phase = work, now, Phase.CLAIMED
                slot.is_async = self.is_async(work.name)
                limits = slot.limits = Limits.of(work)
                self._table.describe(
                    slot.index,
                    name=work.name,
                    attempt=work.attempt,
                    failures=work.failures,
                    max_attempts=work.max_attempts,
                    hard_seconds=limits.hard_seconds,
                    expires=limits.hard_expires,
                )
                self._table.set_phase(slot.index, Phase.CLAIMED)
                kept.append(slot)
            self._announce()
        return kept

    # For the threads

    def begin(self, slot: Slot, run: Interruptible | None = None) -> bool:
        """False where the claim was given back meanwhile."""
        with self._lock:
            if slot.phase is not Phase.CLAIMED:
                return False
            slot.phase, slot.run, slot.begun_at = Phase.BEGUN, run, time.monotonic()
            self._table.begin(slot.index)
            self._unbegun -= 1
            if slot.is_async:
                # The thread that starts it is free again at once.
                self._pending -= 1
                self._async += 1
                self._announce()
        return True

    def finished(self, slot: Slot, run_seconds: float) -> None:
        """The function has ended; the slot stays until its end is recorded."""
        assert slot.work is not None
        with self._changed:
            if self._slots.get(slot.index) is not slot:
                return  # given up meanwhile
            slot.phase = Phase.FINISHED
            self._table.set_phase(slot.index, Phase.FINISHED)
            if slot.is_async:
                self._async -= 1
            else:
                self._pending -= 1
                queue = slot.work.queue
                old = self._means.get(queue, run_seconds)
                # A slow run counts at once, quick ones win trust slowly.
                weight = 1.0 if run_seconds > AHEAD_SECONDS else _SMOOTHING
                self._means[queue] = old + weight * (run_seconds - old)
            self.runs += 1
            self.is_touched = self.is_touched or (slot.run is not None and slot.run.is_touched)
            self._announce()

    # For the writer and the keeper

    def forget(self, slots: Sequence[Slot]) -> None:
        """Their ends are recorded, or somebody else's business."""
        with self._changed:
            for slot in slots:
                self._drop(slot)
            self._announce()

    def give_back(self, *, older_than: float = 0.0) -> list[Slot]:
        """Takes back claims that have not begun for so many seconds: no thread will run them any more. The
        caller releases them in the ledger and then forgets them."""
        limit = time.monotonic() - older_than
        with self._changed:
            stale = [s for s in self._slots.values() if s.phase is Phase.CLAIMED and s.claimed_at <= limit]
            for slot in stale:
                self._take_back(slot)
                if slot.work is not None:
                    # Somebody in front takes longer than reckoned: no more ahead for this queue until it is
                    # quick.
                    self._means[slot.work.queue] = AHEAD_SECONDS * 10
            self._announce()
        return stale

    def withdraw(self, slot: Slot) -> bool:
        """Takes this claim back; False where it has begun. What holds for `give_back` holds here."""
        with self._changed:
            if slot.phase is not Phase.CLAIMED:
                return False
            self._take_back(slot)
            self._announce()
        return True

    def find(self, task_id: UUID, claim: UUID) -> Slot | None:
        with self._lock:
            return next((s for s in self._slots.values() if s.claim == claim and s.task_id == task_id), None)

    def past_soft_limit(self) -> list[Slot]:
        """What has run longer than its soft limit and was not told yet."""
        now = time.monotonic()
        with self._lock:
            return [
                s
                for s in self._slots.values()
                if s.phase is Phase.BEGUN and not s.is_told and now - s.begun_at >= s.limits.soft_seconds
            ]

    @property
    def busy(self) -> int:
        """Tasks that are claimed, run, or wait to be recorded."""
        with self._lock:
            return len(self._slots)

    @property
    def running(self) -> int:
        with self._lock:
            return self._pending - self._unbegun + self._async

    def begun_since(self) -> dict[str, float]:
        """Per queue, the CLOCK_MONOTONIC second at which its longest running task was claimed."""
        with self._lock:
            oldest: dict[str, float] = {}
            for slot in self._slots.values():
                if slot.phase is Phase.BEGUN and slot.work is not None:
                    queue = slot.work.queue
                    oldest[queue] = min(oldest.get(queue, slot.claimed_at), slot.claimed_at)
            return oldest

    def _take_back(self, slot: Slot) -> None:
        slot.phase = Phase.FINISHED
        self._table.set_phase(slot.index, Phase.FINISHED)
        self._pending -= 1
        self._unbegun -= 1

    def _drop(self, slot: Slot) -> None:
        if self._slots.get(slot.index) is not slot:
            return  # dropped before; its place may be another's by now
        del self._slots[slot.index]
        if slot.phase in (Phase.CLAIMING, Phase.CLAIMED):
            self._pending -= 1
            self._unbegun -= 1
        elif slot.phase is Phase.BEGUN:  # its end is somebody else's business now; its thread may never come back
            if slot.is_async:
                self._async -= 1
            else:
                self._pending -= 1
        slot.phase = Phase.FREE
        self._table.set_phase(slot.index, Phase.FREE)
        self._free.append(slot.index)
