"""What takes an operation back, as far as that can be done: another operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskyard_client.models import Task

CHANGE_TASKS = "maintenance.change_tasks"
_UNDOES = {"cancel": "retry", "retry": "cancel", "discard": "restore", "restore": "discard"}
# Of replays, what has not begun: the others may have done by now what was asked of them.
_STATES = {"cancel": {"state": ["scheduled", "queued"]}, "retry": {"state": ["cancelled"]}}


class Undo(NamedTuple):
    action: str
    conditions: dict[str, Any]


def undo_of(operation: Task) -> Undo | None:
    """None where nothing takes it back, or not yet. Tasks keep the operation that changed them, until somebody else
    changes them so."""
    undoes = _UNDOES.get(operation.params.get("action", ""))
    if undoes is None or not operation.is_final or not _changed(operation):
        return None
    return Undo(undoes, {"operation_id": str(operation.id), **_STATES.get(undoes, {})})


def _changed(operation: Task) -> float:
    """How many tasks, as far as it is known: an operation that was stopped has no result."""
    if isinstance(operation.result, Mapping):
        return float(operation.result.get("changed", 0))
    return operation.progress.current if operation.progress else 0
