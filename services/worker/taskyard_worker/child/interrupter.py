"""The interrupter: raises soft limits and cancellations in the tasks that this child runs."""

from __future__ import annotations

import time
from typing import Any, Protocol
from uuid import UUID

from taskyard.domain.errors import SoftTimeLimitExceeded, TaskCancelled
from taskyard.domain.tasks import Cancelled

from ..slots import Phase
from .claim_table import ClaimTable, Slot
from .writer import End


class Records(Protocol):
    """The child's writer."""

    def end(self, end: End) -> None: ...

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None: ...


class Interrupter:
    """Belongs to the child's main thread."""

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
            return False  # PostgreSQL knows the claim already, and its answer is on the way
        if slot.phase is not Phase.BEGUN:
            return True
        if slot.run is None or not slot.run.interrupt(TaskCancelled):
            return False  # it begins or ends at this moment, or was told of its limit just now
        self._records.note(slot.task_id, slot.claim, "cancel_delivered", {})
        return True
