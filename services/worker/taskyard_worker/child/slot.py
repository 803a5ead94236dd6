"""One claim of a child."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from taskyard.lifecycle.claim import Claimed

from ..slots import Phase
from .interrupts import Interruptible
from .limits import UNLIMITED, Limits


@dataclass(slots=True, eq=False)
class Slot:
    """One claim. `work` and `limits` are known once it is won, `run` once it has begun. `is_told`: the task was told of
    its soft limit. `is_cancelled`: no thread may begin it. `run_seconds`: once its function has ended."""

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
    is_cancelled: bool = False
    run_seconds: float | None = None
