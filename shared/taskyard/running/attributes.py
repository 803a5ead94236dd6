"""What a task sets on the span of its run, where traces are on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from .speech import Redact, said

Attribute = str | bool | int | float | Sequence[str]

MAX_TEXT = 1000
MAX_TEXTS = 64


class Attributes(Protocol):
    """The spans of the runs in this process."""

    def set(self, task_id: UUID, attempt: int, attributes: Mapping[str, Attribute]) -> None: ...

    def traceparent(self, task_id: UUID, attempt: int) -> str | None:
        """That of the run; None where it has no span."""
        ...


class NoAttributes:
    def set(self, task_id: UUID, attempt: int, attributes: Mapping[str, Attribute]) -> None:
        pass

    def traceparent(self, task_id: UUID, attempt: int) -> str | None:
        return None


NO_ATTRIBUTES = NoAttributes()


def shown(attributes: Mapping[str, Attribute], redact: Redact) -> dict[str, Attribute]:
    """Without secrets, and not too long. What is neither text, number nor a list of texts is shown as text."""
    return {str(name): _shown(value, redact) for name, value in attributes.items()}


def _shown(value: object, redact: Redact) -> Attribute:
    if type(value) in {bool, int, float}:
        return value  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return [said(one, redact)[:MAX_TEXT] for one in value[:MAX_TEXTS]]
    return said(value, redact)[:MAX_TEXT]
