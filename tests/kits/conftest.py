"""A database, a storage, and a way to put files into both."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.lifecycle.committed import Committed
from taskyard.running.trial import TaskRun, run_task
from taskyard.running.upkeep import Upkeep
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard.store.task_role import refuse_powerful
from taskyard.store.tree_items import TreeItem

Upload = Callable[..., TreeItem]
Run = Callable[..., TaskRun]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage")


@pytest.fixture
def upload(engine: Engine, storage: LocalStorage) -> Upload:
    """Stores bytes, or what a file holds, as the API does."""
    return partial(put, engine, storage)


@pytest.fixture
def task_engine(task_url: str) -> Iterator[Engine]:
    """As a worker's tasks have it: under a role that cannot touch the ledger."""
    made = ledger.make_engine(task_url)
    refuse_powerful(made)
    yield made
    made.dispose()


class Announced(list[Committed[Any]]):
    """What was announced."""

    def dispatch(self, committed: Committed[Any]) -> None:
        self.append(committed)


@pytest.fixture
def upkeep(engine: Engine) -> Upkeep:
    """As a worker's tasks have it: with the ledger's role."""
    return Upkeep(partial(ledger.run_transaction, engine), Announced(), life=timedelta(days=1))


@pytest.fixture
def run(task_engine: Engine, storage: LocalStorage) -> Run:
    return partial(run_task, engine=task_engine, storage=storage)


def put(
    engine: Engine,
    storage: LocalStorage,
    content: bytes | Path,
    name: str = "file",
    parent_id: UUID | None = None,
    submitted_by: str | None = None,
) -> TreeItem:
    with storage.writer() as writer:
        if isinstance(content, Path):
            with content.open("rb") as file:
                while block := file.read(1 << 20):
                    writer.write(block)
        else:
            writer.write(content)
        stored = writer.commit()
    item = TreeItem(
        id=new_id(),
        name=name,
        content_type="application/octet-stream",
        size=stored.size,
        sha256=stored.sha256,
        storage_key=stored.key,
        parent_id=parent_id,
        submitted_by=submitted_by,
    )
    with ledger.transaction(engine) as conn:
        (item,) = tree_items.insert(conn, [item])
    return item
