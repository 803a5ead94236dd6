"""What is to be raised in the tasks that a child runs: soft limits by its own clock, cancellations as they are asked
for. All of it belongs to the child's main thread.
"""

from __future__ import annotations

import time
from typing import Any, Protocol
from uuid import UUID

from taskyard.domain.errors import SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.tasks import Cancelled

from .desk import Desk, Slot
from .slots import Phase
from .writer import End


class Records(Protocol):
    """The child's writer."""

    def end(self, end: End) -> None: ...

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None: ...


class Deliveries:
    def __init__(self, desk: Desk, records: Records) -> None:
        self._desk = desk
        self._records = records
        self._cancels: list[Slot] = []

    def cancel(self, task_id: UUID, claim: UUID) -> None:
        """Somebody asked for the end of this task."""
        if (slot := self._desk.find(task_id, claim)) is not None:
            self._cancels.append(slot)
            self.turn()

    def turn(self) -> None:
        """Delivers what can be delivered now; the rest stays for the next turn."""
        for slot in self._desk.past_soft_limit():
            if slot.run is not None and slot.run.interrupt(SoftTimeLimitExceeded):
                slot.is_told = True
                self._records.note(slot.task_id, slot.claim, "soft_time_limit", {})
        if self._cancels:
            self._cancels = [slot for slot in self._cancels if not self._cancel(slot)]

    def _cancel(self, slot: Slot) -> bool:
        """Whether nothing is left to do."""
        if self._desk.withdraw(slot):
            self._records.end(End(slot, Cancelled("cancelled before it began"), None, time.monotonic()))
            return True
        if slot.phase is Phase.CLAIMING:
            return False  # PostgreSQL knows of the claim before its answer is here
        if slot.phase is not Phase.BEGUN:
            return True
        if slot.run is None or not slot.run.interrupt(TaskCancelled):
            return False  # it begins or ends at this moment, or was told of its limit just now
        self._records.note(slot.task_id, slot.claim, "cancel_delivered", {})
        return True
