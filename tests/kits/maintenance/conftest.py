"""Final tasks of any age, and what the archives of a storage hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.ids import earliest_id_at, new_id
from taskyard.domain.tasks import FINAL, State
from taskyard.running.trial import TaskRun
from taskyard.running.upkeep import Upkeep
from taskyard.storage.archive_lines import read_lines, values_of
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, task_archives, tree_items
from taskyard.store.task_archives import TaskArchive
from taskyard_kits.maintenance.settings import MaintenanceSettings
from tests.integration.lifecycle import rows
from tests.kits.conftest import Run

SETTINGS = MaintenanceSettings()  # 30 days, of failed ones 90


@dataclass
class Ledger:
    engine: Engine
    storage: LocalStorage

    def put(self, state: State = State.SUCCEEDED, *, days: float = 100, **columns: Any) -> UUID:
        """A task that was submitted, and ended if it did, so many days ago."""
        at = datetime.now(UTC) - timedelta(days=days)
        row = {"id": UUID(int=earliest_id_at(at).int | new_id().int & ((1 << 80) - 1)), "created_at": at}
        if state in FINAL:
            row["finished_at"] = at
        with ledger.transaction(self.engine) as conn:
            worker = rows.register(conn) if state is State.RUNNING else None
            return rows.put(conn, state, worker_id=worker, **{**row, **columns})

    def ids(self) -> set[UUID]:
        return set(self.all("SELECT id FROM task"))

    def all(self, statement: str) -> list[Any]:
        with ledger.connection(self.engine) as conn:
            return list(conn.execute(sa.text(statement)).scalars())

    def do(self, statement: str, **values: Any) -> None:
        ledger.run(self.engine, lambda conn: conn.execute(sa.text(statement), values))

    def archives(self) -> list[TaskArchive]:
        with ledger.connection(self.engine) as conn:
            return task_archives.page(conn, limit=100)

    def lines(self) -> list[dict[str, Any]]:
        """Of all archives, the oldest first."""
        found: list[dict[str, Any]] = []
        for archive in reversed(self.archives()):
            assert archive.item_id is not None
            with ledger.connection(self.engine) as conn:
                item = tree_items.get(conn, [archive.item_id])[archive.item_id]
            with self.storage.open(item.storage_key) as file:
                found += map(values_of, read_lines(file))
        return found

    def archived(self) -> list[UUID]:
        return [UUID(line["id"]) for line in self.lines() if line["line"] == "task"]


@pytest.fixture
def ledger_of_tasks(engine: Engine, storage: LocalStorage) -> Ledger:
    return Ledger(engine, storage)


Archive = Callable[..., TaskRun]


@pytest.fixture
def archive(run: Run, upkeep: Upkeep) -> Archive:
    """Runs the task."""

    def call(params: dict[str, Any] | None = None, **given: Any) -> TaskRun:
        found: TaskRun = run(
            "maintenance.archive_tasks", params or {}, **{"upkeep": upkeep, "settings": SETTINGS, **given}
        )
        return found

    return call
