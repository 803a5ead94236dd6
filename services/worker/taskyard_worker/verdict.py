"""A verdict: what an attempt came to that did not end by itself."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from taskyard.domain.tasks import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` is told to people."""

    task_id: UUID
    claim: UUID
    name: str
    outcome: Outcome
    run_seconds: float
    why: str
