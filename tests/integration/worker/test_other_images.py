"""Real workers of two images: a task hands work to a type that only the other image has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.worker.processes import LedgerFleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

IMPORTS = """
from taskyard import task

@task("areas.import")
def bring(*, context) -> str:
    return str(context.submit("areas.tile", {"area": 7}))

@task("areas.import_async")
async def bring_async(areas: list, *, context) -> str:
    return str(context.submit("areas.tile", {"area": areas}))
"""
TILES = """
from taskyard import task

@task("areas.tile", queue="geo_processing", version=2)
def tile(area: int) -> int:
    return area
"""


def start(workers: LedgerFleet, place: Path, module: str, text: str, queue: str) -> None:
    place.mkdir()
    (place / f"{module}.py").write_text(text)
    workers.fleet.environment |= {
        "TASKYARD_TASK_MODULES": module,
        "PYTHONPATH": f"{workers.fleet.environment['PYTHONPATH']}{os.pathsep}{place}",
    }
    workers.fleet.start_worker(queues=queue)


@pytest.mark.long
def test_a_task_submits_a_type_that_only_another_image_has(workers: LedgerFleet, tmp_path: Path) -> None:
    start(workers, tmp_path / "a", "image_with_imports", IMPORTS, "default")
    start(workers, tmp_path / "b", "image_with_tiles", TILES, "geo_processing")
    parent, refused = workers.put("areas.import") + workers.put("areas.import_async", areas=[7])
    assert workers.wait([parent, refused]) == ["succeeded", "failed"]
    (child,) = workers.harness.query("SELECT * FROM task WHERE parent_id IS NOT NULL")
    assert (child.parent_id, child.name, child.version, child.queue) == (parent, "areas.tile", 2, "geo_processing")
    workers.wait([child.id])
    assert workers.row(child.id).result == 7
    error = workers.row(refused).error
    assert (error["code"], error["retryable"]) == ("params_invalid", False)
    assert "areas.tile says: At /params/area: " in error["message"]
