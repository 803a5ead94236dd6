"""What a task reports and submits, kept in memory: for a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from .attributes import Attribute
from .child import Child
from .children import Admit
from .context import TaskContext


class Record:
    """Stands in for a worker's writer, submitter and spans; `admit` raises where the submitter would."""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self.told: list[tuple[float, float | None, str]] = []
        self.stages: list[str] = []
        self.lines: list[str] = []
        self.attributes: dict[str, Attribute] = {}
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

    def set(self, task_id: UUID, attempt: int, attributes: Mapping[str, Attribute]) -> None:
        self.attributes.update(attributes)

    def traceparent(self, task_id: UUID, attempt: int) -> str | None:
        return None

    @property
    def children(self) -> list[Child]:
        return [*self._children.values()]
