"""A draw, and what it stored."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.running.trial import TaskRun
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from tests.kits.conftest import Run, Upload
from tests.kits.selection import pools

Draw = Callable[..., TaskRun]
Stored = Callable[[str], list[pools.Person]]


@pytest.fixture
def draw(run: Run, upload: Upload) -> Draw:
    """`people` and `quotas` are rows, which are stored as CSV, or the bytes of a file."""

    def drawn(
        people: list[pools.Person] | bytes, quotas: list[pools.Target] | bytes, *, number: int = 20, **given: Any
    ) -> TaskRun:
        options = {name: given.pop(name) for name in ("task_id", "submitted_by", "allowed_queues") if name in given}
        files = [upload(rows if isinstance(rows, bytes) else pools.as_csv(rows)) for rows in (people, quotas)]
        return run(
            "selection.run_select",
            {
                "selection_params": {"number_to_select": number, "id_column": "id", **given},
                "feature_data": {"item_id": str(files[0].id)},
                "quota_data": {"item_id": str(files[1].id)},
            },
            **options,
        )

    return drawn


@pytest.fixture
def stored(engine: Engine, storage: LocalStorage) -> Stored:
    """The rows of a stored list."""

    def rows(item_id: str) -> list[pools.Person]:
        found = ledger.run(engine, lambda conn: tree_items.get(conn, [UUID(item_id)], owner=None))
        with storage.open(found[UUID(item_id)].storage_key) as file:
            return pools.of_csv(file.read())

    return rows
