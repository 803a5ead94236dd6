"""Specs of task types, with the usual values where a test does not care, and workers that have registered them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
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
    worker = register_worker(engine, *_specs_of_kits(modules), name="with-all-kits", queues=DEFAULT_QUEUES)
    stay = sa.text("UPDATE worker SET beat_at = now() + interval '1 day' WHERE id = :id")
    ledger.run(engine, lambda conn: conn.execute(stay, {"id": worker}))
    return worker


@cache
def _specs_of_kits(modules: tuple[str, ...]) -> list[TaskSpec]:
    """Making their schemas takes longer than most tests."""
    loaded = load(Settings(diagnostics=True, task_modules=modules))
    return [spec_of(task_type, kit=loaded.kits[task_type.name]) for task_type in loaded.catalogue]


def _nested(levels: int) -> str:
    return '{"items": ' * levels + "{}" + "}" * levels


# By SQL, as an account of a worker can write them: past every check of ours.
HOSTILE_ROWS = {
    "null": "null",
    "a list": "[]",
    "a text": '"spec"',
    "nothing": "{}",
    "1 MiB": json.dumps(spec_values("hostile", description="x" * 2**20)),
    "5 MiB": json.dumps(spec_values("hostile", description="x" * 5 * 2**20)),
    "queue": json.dumps(spec_values("hostile", queue={"a": "b"})),
    "deep": f'{{"name": "hostile", "params": {_nested(2_000)}}}',
    "large number": f'{{"name": "hostile", "version": {"9" * 20_000}}}',
    "remote ref": json.dumps(spec_values("hostile", params={"$ref": "http://127.0.0.1:1/x"})),
    "lookaround": json.dumps(spec_values("hostile", params={"properties": {"a": {"pattern": "(?=a)b"}}})),
    "template": json.dumps(spec_values("hostile", errors={"a": {"words": {"en": "{0.__class__}"}}})),
    "secret as a whole": json.dumps(
        spec_values("hostile", params={"anyOf": [{"writeOnly": True, "format": "password"}]})
    ),
    "another type's name": json.dumps(spec_values("diagnostics.echo", version=99)),
}


def plant(engine: Engine, spec: str, *, name: str = "hostile", worker: UUID | None = None) -> None:
    """Writes a row of the registry by SQL; `worker` says that it runs the type."""
    row = {"name": name, "spec": spec, "worker": worker}

    def write(conn: Connection) -> None:
        conn.execute(
            sa.text(
                "INSERT INTO task_type (name, version, digest, spec, kit)"
                " VALUES (:name, 1, md5(:spec), CAST(:spec AS jsonb), '')"
            ),
            row,
        )
        if worker is not None:
            conn.execute(sa.text("INSERT INTO worker_type (worker_id, name, version) VALUES (:worker, :name, 1)"), row)

    ledger.run_transaction(engine, write)
