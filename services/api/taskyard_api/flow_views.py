"""Workflows as callers see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskyard.domain.tasks import State

from . import flow_models
from .auth import Caller
from .translation import TypeName, Words
from .views import percent, told

_AS_STORED = (
    *("id", "name", "state", "on_failure", "created_at", "cancel_requested_at", "finished_at", "submitted_by"),
    "request_id",
)
_COUNTS = ("succeeded", "failed", "cancelled", "excused")
_OF_A_STEP = (
    *("name", "task_id", "task_name", "queue", "state", "attempt", "optional", "needs", "needs_count", "started_at"),
    "finished_at",
)


def summary(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A workflow as `store.workflows` returns it."""
    counts = {name: row[name] for name in _COUNTS}
    done, total = sum(counts.values()), row["steps"]
    return {
        **{name: row[name] for name in _AS_STORED},
        "progress": {"percent": percent(done, total) or 0.0, "current": done, "total": total, **counts},
        "trace_id": row["traceparent"][3:35] if row["traceparent"] else None,
        "callback_url": row["callback"]["url"] if row["callback"] else None,
    }


def workflow(row: Mapping[Any, Any], steps: Sequence[dict[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    return {**summary(row), "steps": steps, "next_cursor": next_cursor}


def step(row: Mapping[Any, Any], words: Words) -> dict[str, Any]:
    error = None
    if row["error"] is not None:
        of = TypeName(row["task_name"], row["version"])
        error = {"attempt": 0, "support_url": None, **words.failure(row["error"], of)}
    waits = row["state"] == State.BLOCKED
    return {
        **{name: row[name] for name in _OF_A_STEP},
        "pending_needs": row["pending_needs"] if waits else 0,
        "error": error,
    }


def of_caller(caller: Caller, shown: dict[str, Any]) -> dict[str, Any]:
    return told(caller, shown, flow_models.ToldWorkflow)


def event(row: Any) -> dict[str, Any]:
    return {"id": str(row.id), "kind": row.kind, "at": row.at, "data": row.data}


def submitted(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The first event, which has no row of its own."""
    data = {"submitted_by": row["submitted_by"], "steps": row["steps"]}
    return {"id": "0", "kind": "submitted", "at": row["created_at"], "data": data}
