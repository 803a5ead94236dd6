"""An image that is converted again, by the same task or by another one, and whoever reads it meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, RetryIn
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard_kits import kept_files, stored_files
from taskyard_kits.files import tasks as files
from taskyard_kits.geo import tasks
from tests.kits.conftest import Run, Upload
from tests.kits.geo.conftest import BOUNDS, NAME, PLACE, After, picture, saved

POINTS = {
    "control_points": [
        {"row": row, "col": col, "x": BOUNDS[0] + 10 * col + 3 * row, "y": BOUNDS[3] - 10 * row + 3 * col}
        for row, col in ((0, 0), (0, 600), (400, 0), (400, 600))
    ],
    "crs": "EPSG:3857",
}


def objects(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "storage/objects").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("wish", "again"), [(PLACE, PLACE), (POINTS, POINTS), (PLACE, {})], ids=["bounds", "points", "own"]
)
@pytest.mark.long
def test_converting_twice_changes_nothing(
    run: Run, upload: Upload, after: After, tmp_path: Path, wish: dict[str, Any], again: dict[str, Any]
) -> None:
    item = upload(saved(picture(), "PNG"), "map.png")
    first = run(NAME, {"item_id": item.id, **wish})
    made, stored = after(item), objects(tmp_path)
    second = run(NAME, {"item_id": item.id, **again})
    assert second.logs == ["The file is this raster already."]
    assert [at for at, _, _ in second.progress] == [0, 10, 20, 100]
    known = {name: value for name, value in first.result.items() if again or name != "residual_pixels"}
    assert second.result == {**second.result, **known}
    assert (second.result["residual_pixels"] is None) == ("control_points" not in again)
    assert (after(item), objects(tmp_path)) == (made, stored)


@pytest.mark.parametrize("other", [{**PLACE, "crs": "EPSG:3395"}, {**PLACE, "bounds": [0.0, *BOUNDS[1:]]}, POINTS])
def test_a_raster_is_not_moved_elsewhere(
    run: Run, upload: Upload, after: After, tmp_path: Path, other: dict[str, Any]
) -> None:
    item = upload(saved(picture(), "PNG"), "map.png")
    run(NAME, {"item_id": item.id, **PLACE})
    made = after(item)
    refused = run(NAME, {"item_id": item.id, **other})
    assert isinstance(refused.outcome, Failed)
    assert refused.fault.code == "already_converted"
    assert after(item) == made


def test_of_two_attempts_at_once_the_first_to_end_counts(
    run: Run, upload: Upload, after: After, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that was thought lost goes on beside the next one."""
    item, task_id, put = upload(saved(picture(), "PNG"), "map.png"), new_id(), kept_files.put_in_place
    meanwhile: list[Any] = []

    def late(*args: Any) -> Any:
        monkeypatch.setattr(tasks, "put_in_place", put)
        meanwhile.append(run(NAME, {"item_id": item.id, **PLACE}, task_id=task_id, attempt=2).result)
        meanwhile.append(objects(tmp_path))
        return put(*args)

    monkeypatch.setattr(tasks, "put_in_place", late)
    lost = run(NAME, {"item_id": item.id, **PLACE}, task_id=task_id)
    assert isinstance(lost.outcome, RetryIn)
    assert lost.fault.code == "content_changed"
    # What it had stored is gone.
    assert objects(tmp_path) == meanwhile[1]
    assert run(NAME, {"item_id": item.id, **PLACE}, task_id=task_id, attempt=3).result == meanwhile[0]


def test_an_item_that_goes_away_meanwhile_leaves_nothing_behind(
    run: Run, upload: Upload, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, put = upload(saved(picture(), "PNG"), "map.png"), kept_files.put_in_place
    stored = objects(tmp_path)

    def late(*args: Any) -> Any:
        with ledger.transaction(engine) as conn:
            tree_items.delete(conn, [item.id])
        return put(*args)

    monkeypatch.setattr(tasks, "put_in_place", late)
    assert run(NAME, {"item_id": item.id, **PLACE}).fault.code == "item_not_found"
    assert objects(tmp_path) == stored


def test_a_task_that_reads_the_image_meanwhile_reads_all_of_it(
    run: Run, upload: Upload, after: After, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, opened = upload(saved(picture(), "PNG"), "map.png"), stored_files.opened

    def late(*args: Any) -> Any:
        monkeypatch.setattr(files, "opened", opened)
        run(NAME, {"item_id": item.id, **PLACE})
        assert after(item).object_type == "geo_raster_file"
        return opened(*args)

    monkeypatch.setattr(files, "opened", late)
    assert run("files.process_large_file", {"item_id": item.id}).result["bytes"] == item.size


def test_a_key_that_may_not_see_the_item_cannot_convert_it(run: Run, upload: Upload, after: After) -> None:
    item = upload(saved(picture(), "PNG"), "map.png", submitted_by="hers")
    run_as = {"submitted_by": "his", "allowed_queues": ["geo_processing"]}
    assert run(NAME, {"item_id": item.id, **PLACE}, **run_as).fault.code == "item_not_found"
    assert after(item) == item


def test_a_content_that_was_replaced_is_newer_to_the_second(engine: Engine, upload: Upload) -> None:
    """Last-Modified tells whole seconds: two contents of one second would be the same to a cache."""
    item = upload(b"an image", "map.png", submitted_by="hers")
    with ledger.transaction(engine) as conn:  # for which time stands still
        [first] = tree_items.insert(conn, [replace(item, id=new_id(), storage_key="first")])
        second = tree_items.replace_content(conn, replace(first, storage_key="second"), instead_of="first")
        assert tree_items.replace_content(conn, replace(first, storage_key="third"), instead_of="first") is None
    assert second is not None
    assert first.created_at is not None
    assert second == replace(first, storage_key="second", created_at=second.created_at)
    assert second.created_at is not None
    assert second.created_at.replace(microsecond=0) > first.created_at.replace(microsecond=0)
