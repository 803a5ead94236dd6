"""The claim table: a child's claims, from before PostgreSQL is asked until the outcome is recorded.

It limits how much may be fetched, hands each claim to exactly one thread, and mirrors every step in the slot table.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from taskyard.lifecycle.claim import Claimed

from ..slots import ASYNC_LIMIT, BACKLOG, Phase, SlotTable
from .interrupts import Interruptible
from .limits import Limits
from .prefetch import Prefetch
from .slot import Slot
from .waiting import Waiting

# What a task breaks in its child shows at one of the main thread's next turns.
SHOWS_WITHIN_SECONDS = 0.6


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.threads = threads
        self.waiting = Waiting(threads)
        self.async_limit = async_limit
        self._async_types = async_types
        self._table = table
        self._clock = clock
        self._free = list(range(table.size))
        self._slots: dict[int, Slot] = {}
        self._prefetch = Prefetch(threads, clock)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pending = 0  # claiming, claimed, or in a thread
        self._unbegun = 0
        self._async = 0
        self._async_queues: set[str] = set()  # where coroutines have come from
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
        ahead = self._ahead(queues)
        # Refill when half of the reserve is used up: one claim a task would cost one commit a task.
        if ahead and self._unbegun > ahead // 2:
            return 0
        room = min(self.threads + ahead - self._pending, len(self._free) - BACKLOG // 2)
        if not self._async_queues.isdisjoint(queues):
            room = min(room, self.async_limit - self._async - self._unbegun)
        return max(0, room)

    def _ahead(self, queues: Sequence[str]) -> int:
        ahead = self._prefetch.least(queues)
        if not self._async_queues.isdisjoint(queues):  # whatever is claimed may be a coroutine
            ahead = min(ahead, self.async_limit - self._async - self.threads)
        return max(0, ahead)

    def wait_for_room(self, queues: Sequence[str], timeout: float) -> int:
        """Waits until something may be fetched; 0 after `timeout` seconds, or once the table is closed."""
        deadline = time.monotonic() + timeout
        with self._changed:
            try:
                while not (room := self._room(queues)):
                    left = deadline - time.monotonic()
                    if left <= 0 or self._closed:
                        return 0
                    self._refill_at = self._ahead(queues) // 2
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
        now = self._clock()
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
        now = self._clock()
        kept = []
        with self._changed:
            for slot in slots:
                work = by_id.get(slot.task_id)
                if work is None:
                    self._drop(slot)
                    continue
                slot.work, slot.claimed_at, slot.phase = work, now, Phase.CLAIMED
                if work.name in self._async_types:
                    slot.is_async = True
                    self._async_queues.add(work.queue)
                limits = slot.limits = Limits.of(work)
                self._table.describe(slot.index, work, hard_seconds=limits.hard_seconds, expires=limits.hard_expires)
                self._table.set_phase(slot.index, Phase.CLAIMED)
                kept.append(slot)
            self._wake_consumer()
        return kept

    # For the threads

    def begin(self, slot: Slot, run: Interruptible | None = None) -> bool:
        """False where the claim was given back or cancelled meanwhile."""
        with self._lock:
            if slot.phase is not Phase.CLAIMED or slot.is_cancelled:
                return False
            slot.phase, slot.run, slot.begun_at = Phase.BEGUN, run, self._clock()
            self._table.begin(slot.index)
            self._unbegun -= 1
            if slot.is_async:
                # The thread that starts it is free again at once.
                self._pending -= 1
                self._async += 1
                self._wake_consumer()
            else:
                self._prefetch.began(slot)
        return True

    def begin_again(self, slot: Slot) -> None:
        """Its limits count from now."""
        with self._lock:
            if slot.phase is Phase.BEGUN:
                slot.begun_at = self._clock()
                self._table.begin(slot.index)

    def finished(self, slot: Slot, run_seconds: float) -> None:
        """The function has ended; the slot stays until the outcome is recorded, its thread is taken until `freed`."""
        with self._changed:
            if self._slots.get(slot.index) is not slot:
                return  # abandoned meanwhile
            self._leave(slot, Phase.FINISHED)
            slot.run_seconds = run_seconds
            self.runs += 1
            if slot.run is not None and slot.run.interrupted_thread:
                self.interrupted_thread = True
            if slot.is_async:
                self._wake_consumer()

    def freed(self, slot: Slot, taken_seconds: float) -> None:
        """Its thread takes the next one: hooks and all else that came after the function have ended, too."""
        with self._changed:
            if not self._free_thread(slot):
                return  # abandoned meanwhile
            if slot.work is not None and slot.run_seconds is not None:
                self._prefetch.ran(slot.work.queue, slot.run_seconds, taken_seconds)
            self._wake_consumer()

    # For the writer and the main thread

    def forget(self, slots: Sequence[Slot]) -> None:
        """Frees slots whose outcome is recorded, or not this child's to record."""
        with self._changed:
            for slot in slots:
                self._drop(slot)
            self._wake_consumer()

    def give_back(self, queues: Collection[str] | None = None) -> list[Slot]:
        """Takes back all claims (None), or those of these queues, that have not begun. The caller releases them in the
        ledger and then forgets them."""
        with self._changed:
            return self._take_back(math.inf, queues)

    def give_back_stalled(self) -> list[Slot]:
        """The same, of those that have waited for a thread longer than quick tasks let them."""
        with self._changed:
            return self._take_back(self._clock() - self._prefetch.patience())

    def _take_back(self, claimed_until: float, queues: Collection[str] | None = None) -> list[Slot]:
        waiting = [s for s in self._slots.values() if s.phase is Phase.CLAIMED and s.claimed_at <= claimed_until]
        found = [s for s in waiting if queues is None or (s.work is not None and s.work.queue in queues)]
        for slot in found:
            self._leave(slot, Phase.FINISHED)
        self._wake_consumer()
        return found

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
        now = self._clock()
        with self._lock:
            return [
                s
                for s in self._slots.values()
                if s.phase is Phase.BEGUN and not s.is_told and now - s.begun_at >= s.limits.soft_seconds
            ]

    @property
    def unbegun(self) -> int:
        return self._unbegun

    @property
    def busy(self) -> int:
        """Tasks that are claimed, run, or wait to be recorded."""
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
            elif phase is Phase.FREE:
                self._free_thread(slot)
        elif slot.phase is not Phase.FINISHED:
            self._pending -= 1
            self._unbegun -= 1
        slot.phase = phase
        self._table.set_phase(slot.index, phase)

    def _free_thread(self, slot: Slot) -> bool:
        """False where it does not count as taken by this one any more."""
        is_taken = self._prefetch.ended(slot)
        self._pending -= is_taken
        return is_taken
