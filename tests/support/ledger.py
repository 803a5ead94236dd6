"""Tasks and workers as the ledger's verbs take them, with the usual values where a test does not care."""

from __future__ import annotations

from typing import Any

from taskyard.domain.ids import new_id
from taskyard.lifecycle.submit import NewTask
from taskyard.lifecycle.workers import WorkerInfo


def new_task(name: str = "diagnostics.echo", **changes: Any) -> NewTask:
    return NewTask(**task_values(name=name, **changes))


def task_values(**changes: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "queue": "default",
        "params": {},
        "max_attempts": 4,
        "soft_timeout_seconds": 540.0,
        "hard_timeout_seconds": 600.0,
        **changes,
    }


def worker_info(**changes: Any) -> WorkerInfo:
    values = {
        "id": new_id(),
        "name": "w",
        "host": "h",
        "pid": 1,
        "version": "0",
        "queues": ["default"],
        "task_types": ["diagnostics.echo"],
        "processes": 1,
        "threads": 4,
        **changes,
    }
    return WorkerInfo(**values)
