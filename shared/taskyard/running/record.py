"""What a task reports and submits, kept in memory: for a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from .child import Child
from .children import Admit
from .context import TaskContext


class Record:
    """Stands in for a worker's writer and submitter; `admit` raises where the submitter would."""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self.told: list[tuple[float, float | None, str]] = []
        self.stages: list[str] = []
        self.lines: list[str] = []
        self._children: dict[UUID, Child] = {}

    def progress(self, task_id: UUID, claim: UUID, current: float, total: float | None, message: str) -> None:
        self.told.append((current, total, message))

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        (self.stages if kind == "stage" else self.lines).append(data["message"])

    def submit(self, parent: TaskContext, children: Sequence[Child]) -> list[UUID]:
        ids = [self._admit(parent, child).id for child in children]
        for child_id, child in zip(ids, children, strict=True):
            self._children.setdefault(child_id, child)
        return ids

    @property
    def children(self) -> list[Child]:
        return [*self._children.values()]
