"""The claim table: a child's claims, from before PostgreSQL is asked until the outcome is recorded.

It limits how much may be fetched, hands each claim to exactly one thread, and mirrors every step in the slot table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from taskyard.lifecycle.claim import Claimed

from ..slots import ASYNC_LIMIT, BACKLOG, Phase, SlotTable
from .interrupts import Interruptible
from .limits import UNLIMITED, Limits
from .prefetch import Prefetch

# What a task breaks in its child shows at one of the main thread's next turns.
SHOWS_WITHIN_SECONDS = 0.6


@dataclass(frozen=True, slots=True)
class Holder:
    """In whose name a child claims: its worker's row, and its own name in that of its worker."""

    worker_id: UUID
    label: str


@dataclass(slots=True, eq=False)
class Slot:
    """One claim. `work` and `limits` are known once it is won, `run` once it has begun. `is_told`: the task was told of
    its soft limit."""

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


class ClaimTable:
    """Capacity: `threads` tasks at a time, claims ahead of them, and `async_limit` tasks on the event loop.
    `async_types` names the task types whose functions are coroutine functions."""

    def __init__(
        self,
        table: SlotTable,
        *,
        threads: int,
        async_limit: int = ASYNC_LIMIT,
        async_types: Collection[str] = (),
    ) -> None:
        self.threads = threads
        self.async_limit = async_limit
        self._async_types = async_types
        self._table = table
        self._free = list(range(table.size))
        self._slots: dict[int, Slot] = {}
        self._prefetch = Prefetch(threads)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pending = 0  # claiming, claimed, or begun in a thread
        self._unbegun = 0
        self._async = 0
        self._refill_at = -1  # while the consumer waits: it is woken once so few are unbegun
        self._closed = False
        self.runs = 0
        self.interrupted_thread = False
        """Whether an exception was raised into a thread of a task that has ended since."""
        self.broken = threading.Event()
        """Set once a task has broken the child, which ends then with all that it runs."""

    # For the consumer

    def room(self, queues: Sequence[str]) -> int:
        """How many tasks may be fetched now from these queues: as many as the slowest of them allows, because quick
        tasks would otherwise never leave it a free thread. So leave out queues that are known to be empty."""
        with self._lock:
            return self._room(queues)

    def _room(self, queues: Sequence[str]) -> int:
        if self._async >= self.async_limit:
            return 0
        ahead = self._prefetch.least(queues)
        # Refill when half of the reserve is used up: one claim a task would cost one commit a task.
        if ahead and self._unbegun > ahead // 2:
            return 0
        room = self.threads + ahead - self._pending
        return max(0, min(room, len(self._free) - BACKLOG // 2))

    def wait_for_room(self, queues: Sequence[str], timeout: float) -> int:
        """Waits until something may be fetched; 0 after `timeout` seconds, or once the table is closed."""
        deadline = time.monotonic() + timeout
        with self._changed:
            try:
                while not (room := self._room(queues)):
                    left = deadline - time.monotonic()
                    if left <= 0 or self._closed:
                        return 0
                    self._refill_at = self._prefetch.least(queues) // 2
                    self._changed.wait(left)
                return room
            finally:
                self._refill_at = -1

    def close(self) -> None:
        """No more claims are wanted; ends a wait for room."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def enter(self, ids: Sequence[UUID], claim: UUID) -> list[Slot]:
        """Takes a slot for each id, before PostgreSQL is asked for the claims."""
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
        """Keeps the slots whose claim was won and frees the others; returns those that it keeps."""
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
                slot.is_async = work.name in self._async_types
                limits = slot.limits = Limits.of(work)
                hard, expires = limits.hard_seconds, limits.hard_expires
                self._table.describe(slot.index, work, hard_seconds=hard, expires=expires)
                self._table.set_phase(slot.index, Phase.CLAIMED)
                kept.append(slot)
            self._wake_consumer()
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
                self._wake_consumer()
        return True

    def begin_again(self, slot: Slot) -> None:
        """Its limits count from now."""
        with self._lock:
            if slot.phase is Phase.BEGUN:
                slot.begun_at = time.monotonic()
                self._table.begin(slot.index)

    def finished(self, slot: Slot, run_seconds: float) -> None:
        """The function has ended; the slot stays until the outcome is recorded."""
        assert slot.work is not None
        with self._changed:
            if self._slots.get(slot.index) is not slot:
                return  # abandoned meanwhile
            self._leave(slot, Phase.FINISHED)
            if not slot.is_async:
                self._prefetch.ran(slot.work.queue, run_seconds)
            self.runs += 1
            if slot.run is not None and slot.run.interrupted_thread:
                self.interrupted_thread = True
            self._wake_consumer()

    # For the writer and the main thread

    def forget(self, slots: Sequence[Slot]) -> None:
        """Frees slots whose outcome is recorded, or not this child's to record."""
        with self._changed:
            for slot in slots:
                self._drop(slot)
            self._wake_consumer()

    def give_back(self, *, older_than: float = 0.0) -> list[Slot]:
        """Takes back claims that have not begun for so many seconds: no thread will run them. The caller releases them
        in the ledger and then forgets them."""
        limit = time.monotonic() - older_than
        with self._changed:
            stale = [s for s in self._slots.values() if s.phase is Phase.CLAIMED and s.claimed_at <= limit]
            for slot in stale:
                self._leave(slot, Phase.FINISHED)
                if slot.work is not None:
                    self._prefetch.waited_too_long(slot.work.queue)
            self._wake_consumer()
        return stale

    def withdraw(self, slot: Slot) -> bool:
        """Takes this claim back, as `give_back` does; False where it has begun."""
        with self._changed:
            if slot.phase is not Phase.CLAIMED:
                return False
            self._leave(slot, Phase.FINISHED)
            self._wake_consumer()
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
        """For each queue, the CLOCK_MONOTONIC second at which its longest running task was claimed."""
        with self._lock:
            oldest: dict[str, float] = {}
            for slot in self._slots.values():
                if slot.phase is Phase.BEGUN and slot.work is not None:
                    queue = slot.work.queue
                    oldest[queue] = min(oldest.get(queue, slot.claimed_at), slot.claimed_at)
            return oldest

    def _wake_consumer(self) -> None:
        """Where it waits and there may be room; it would wake for each task otherwise."""
        if self._unbegun <= self._refill_at:
            self._changed.notify_all()

    def _drop(self, slot: Slot) -> None:
        if self._slots.get(slot.index) is not slot:
            return  # dropped before; its place may be another claim's by now
        del self._slots[slot.index]
        self._leave(slot, Phase.FREE)  # one that has begun is abandoned: its thread may never come back
        self._free.append(slot.index)

    def _leave(self, slot: Slot, phase: Phase) -> None:
        """Takes the slot out of the counts of its phase, to FINISHED or FREE."""
        if slot.phase is Phase.BEGUN:
            if slot.is_async:
                self._async -= 1
            else:
                self._pending -= 1
        elif slot.phase is not Phase.FINISHED:
            self._pending -= 1
            self._unbegun -= 1
        slot.phase = phase
        self._table.set_phase(slot.index, phase)
