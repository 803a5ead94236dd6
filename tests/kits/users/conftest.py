"""Ada, and a ledger that knows her."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.catalogue import kits
from taskyard.catalogue.spec import spec_of
from taskyard.domain.tasks import State
from taskyard.running.trial import TaskRun
from taskyard.running.upkeep import Upkeep
from taskyard.settings import Settings
from taskyard.store import audit, ledger, task_types, users
from taskyard.store.audit import Action, Actor
from taskyard.store.users import UserData
from tests.integration.lifecycle import rows
from tests.kits.conftest import Run

ADA = "Ada.Lovelace@example.org"
ABOUT = ("users.update_stats", "email.send_welcome", "notifications.send")


class Person:
    """Ada, with the id 7, and the ledger that knows her."""

    def __init__(self, engine: Engine, run: Run, upkeep: Upkeep) -> None:
        self.engine = engine
        self._run = run
        self._upkeep = upkeep
        with ledger.transaction(engine) as conn:
            users.put(conn, 7, UserData(email=ADA, name="Ada"), by="ci")
            types = kits.load(Settings()).catalogue
            task_types.write(conn, [spec_of(types[name]) for name in ABOUT], Actor("worker:test"))

    def put(self, name: str = "users.update_stats", state: State = State.SUCCEEDED, **columns: Any) -> UUID:
        with ledger.transaction(self.engine) as conn:
            worker = rows.register(conn) if state is State.RUNNING else None
            return rows.put(conn, state, worker_id=worker, **{"name": name, "params": {"user_id": 7}, **columns})

    def ask(self, *, dry_run: bool = False, **columns: Any) -> UUID:
        """As the API does, and a worker that has begun it."""

        def ask(conn: Connection) -> UUID:
            worker, params = rows.register(conn), {"user_id": 7, "dry_run": dry_run}
            task_id = rows.put(conn, State.RUNNING, worker_id=worker, name="users.erase", params=params, **columns)
            audit.record(conn, Actor("ci"), Action.USER_ERASE, 7, task_id=task_id, dry_run=dry_run)
            return task_id

        return ledger.run_transaction(self.engine, ask)

    def erase(self, **params: Any) -> TaskRun:
        task_id = self.ask(**params)
        return self._run("users.erase", {"user_id": 7, **params}, upkeep=self._upkeep, task_id=task_id)

    def read(self, task_id: UUID) -> Any:
        with ledger.connection(self.engine) as conn:
            return rows.read(conn, task_id)

    def do(self, statement: str, **values: Any) -> Any:
        return ledger.run(self.engine, lambda conn: conn.execute(sa.text(statement), values))

    def all_that_is_stored(self) -> str:
        """Of every table but the audit log, as text."""
        found: list[str] = []
        with ledger.connection(self.engine) as conn:
            tables = conn.scalars(
                sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'audit'")
            ).all()
            for table in tables:
                found += conn.scalars(sa.text(f"SELECT CAST(t AS text) FROM {table} t")).all()
            found += conn.scalars(sa.text("SELECT convert_from(answer, 'UTF8') FROM idempotency_key")).all()
        return "\n".join(found)


@pytest.fixture
def ada(engine: Engine, run: Run, upkeep: Upkeep) -> Person:
    return Person(engine, run, upkeep)
