"""An attempt that the supervisor ends by force: past its hard limit, or not stopping after a cancellation."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from taskyard.domain.tasks import Outcome


@dataclass(frozen=True, slots=True)
class ForcedEnd:
    """`why` is a sentence for people."""

    task_id: UUID
    claim: UUID
    name: str
    outcome: Outcome
    run_seconds: float
    why: str
