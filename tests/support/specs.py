"""Specs of task types, with the usual values where a test does not care, and workers that have registered them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.catalogue.kits import load
from taskyard.catalogue.spec import TaskSpec, spec_of
from taskyard.lifecycle import workers
from taskyard.settings import DEFAULT_QUEUES, Settings
from taskyard.store import ledger, task_types
from taskyard.store.audit import Actor
from tests.support.ledger import worker_info

_OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}


def spec_values(name: str = "tests.task", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "queue": "default",
        "params": _OBJECT,
        "result": _OBJECT,
        "retry": {
            "max_attempts": 4,
            "first_delay_seconds": 60.0,
            "max_delay_seconds": 600.0,
            "factor": 2.0,
            "jitter": False,
        },
        "soft_timeout_seconds": 540.0,
        "hard_timeout_seconds": 600.0,
        **changes,
    }


def spec_named(name: str = "tests.task", **changes: Any) -> TaskSpec:
    return TaskSpec.parse(spec_values(name, **changes))


def register_worker(engine: Engine, *specs: TaskSpec, name: str = "w", queues: Sequence[str] = ("default",)) -> UUID:
    """A worker that has registered these types, as a supervisor does it."""
    info = worker_info(name=name, queues=queues, task_types=[])

    def write(conn: Connection) -> None:
        workers.register(conn, info)
        task_types.write(conn, specs, Actor(f"worker:{name}"))
        task_types.write_worker(conn, info.id, {spec.name: spec.version for spec in specs})

    ledger.run_transaction(engine, write)
    return info.id


def register_kits(engine: Engine, *modules: str) -> UUID:
    """A worker of all default queues with the types of the installed kits and of these modules, which lives for the
    whole test."""
    loaded = load(Settings(diagnostics=True, task_modules=modules))
    specs = [spec_of(task_type, kit=loaded.kits[task_type.name].name) for task_type in loaded.catalogue]
    worker = register_worker(engine, *specs, name="with-all-kits", queues=DEFAULT_QUEUES)
    stay = sa.text("UPDATE worker SET beat_at = now() + interval '1 day' WHERE id = :id")
    ledger.run(engine, lambda conn: conn.execute(stay, {"id": worker}))
    return worker
