"""An image that does not fit into the memory of its worker is refused by name, and nothing else pays for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from taskyard.storage.local import LocalStorage
from taskyard_kits.files.memory import WORKER_BYTES
from tests.integration.worker.processes import LedgerFleet
from tests.kits.conftest import put
from tests.support.heavy_images import MIB, SIDE, png

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_an_image_that_does_not_fit_into_the_memory_of_its_worker_is_refused(
    workers: LedgerFleet, engine: Engine, tmp_path: Path
) -> None:
    storage = LocalStorage(tmp_path / "storage")
    small, large = (str(put(engine, storage, png(side, side, 16, 6)).id) for side in (100, SIDE))
    limit = WORKER_BYTES // MIB + 64  # a header, but not 61 MiB of pixels
    workers.fleet.environment["TASKYARD_MAX_MEMORY_PER_CHILD_MB"] = str(limit)
    workers.fleet.start_worker(threads=2)
    ids = [*workers.put("files.generate_thumbnail", item_id=small), *workers.put("tests.effect", 5)]
    ids += workers.put("files.generate_thumbnail", item_id=large)
    assert workers.wait(ids) == ["succeeded"] * 6 + ["failed"]
    error = workers.row(ids[-1]).error
    assert error["code"] == "image_needs_memory"
    assert "(64 MiB)" in error["message"]
    assert {row.crashes for row in workers.harness.query("SELECT crashes FROM task")} == {0}
