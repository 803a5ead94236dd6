"""What a task reports and submits, kept in memory: for a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ..domain.ids import new_id
from .children import Admit
from .context import Child, TaskContext


class Record:
    """Stands in for a worker's writer and submitter; `admit` raises where the submitter would."""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self.told: list[tuple[float, float | None, str]] = []
        self.stages: list[str] = []
        self.lines: list[str] = []
        self.children: list[Child] = []

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None:
        self.told.append((current, total, message))

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        (self.stages if kind == "stage" else self.lines).append(data["message"])

    def submit(self, parent: TaskContext, children: Sequence[Child]) -> list[UUID]:
        for child in children:
            self._admit(parent, child)
        self.children.extend(children)
        return [new_id() for _ in children]
