"""files.cleanup_old: only what is old, is of the caller's, and is named by no task that has not ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.ids import earliest_id_at
from taskyard.domain.tasks import FINAL, State
from taskyard.running.upkeep import Upkeep
from taskyard.storage.interface import ObjectMissing
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard.store.task_archives import OBJECT_TYPE
from taskyard.store.tree_items import TreeItem
from taskyard_kits.files.settings import FileSettings
from tests.integration.lifecycle import rows
from tests.kits.conftest import Run, Upload

SETTINGS = FileSettings(file_cleanup_max_age_days=90)
Put = Callable[..., TreeItem]


@pytest.fixture
def put(engine: Engine, upload: Upload) -> Put:
    """A file that was stored so many days ago."""

    def make(days: float, content: bytes = b"bytes", *, object_type: str = "file", **more: Any) -> TreeItem:
        item: TreeItem = upload(content, **more)
        made_at = datetime.now(UTC) - timedelta(days=days)
        old_id = UUID(int=earliest_id_at(made_at).int | item.id.int & ((1 << 80) - 1))
        values = {"id": item.id, "old_id": old_id, "made_at": made_at, "object_type": object_type}
        statement = sa.text(
            "UPDATE tree_item SET id = :old_id, created_at = :made_at, object_type = :object_type WHERE id = :id"
        )
        ledger.run(engine, lambda conn: conn.execute(statement, values))
        with ledger.connection(engine) as conn:
            return tree_items.get(conn, [old_id])[old_id]

    return make


@pytest.fixture
def clean(run: Run, upkeep: Upkeep) -> Callable[..., Any]:
    def call(params: dict[str, Any] | None = None, **given: Any) -> Any:
        return run("files.cleanup_old", params or {}, settings=SETTINGS, upkeep=upkeep, **given)

    return call


def kept(engine: Engine) -> set[UUID]:
    with ledger.connection(engine) as conn:
        return {item.id for item in tree_items.page(conn, limit=1000)}


def has_bytes(storage: LocalStorage, item: TreeItem) -> bool:
    try:
        return storage.size(item.storage_key) == item.size
    except ObjectMissing:
        return False


def test_old_files_go_with_their_bytes_and_an_audit_row_and_young_ones_stay(
    engine: Engine, storage: LocalStorage, put: Put, clean: Callable[..., Any]
) -> None:
    old, young = put(91, b"12345", name="old.txt"), put(89)
    done = clean()
    assert done.result == {"dry_run": False, "files": 1, "bytes": 5, "in_use": 0, "names": ["old.txt"]}
    assert kept(engine) == {young.id}
    assert (has_bytes(storage, old), has_bytes(storage, young)) == (False, True)
    with engine.connect() as conn:
        row = conn.execute(sa.text("SELECT actor, action, target_id, details ->> 'name' AS name FROM audit")).one()
    assert tuple(row) == (f"task:{done.task_id}", "tree_item.delete", str(old.id), "old.txt")
    assert clean().result["files"] == 0, "a second time there is nothing"


def test_a_dry_run_counts_and_names_and_deletes_nothing(
    engine: Engine, storage: LocalStorage, put: Put, clean: Callable[..., Any]
) -> None:
    files = [put(100 - n, name=f"{n}.txt") for n in range(3)]
    result = clean({"dry_run": True}).result
    assert result == {"dry_run": True, "files": 3, "bytes": 15, "in_use": 0, "names": ["0.txt", "1.txt", "2.txt"]}
    assert kept(engine) == {item.id for item in files}
    assert all(has_bytes(storage, item) for item in files)


@pytest.mark.parametrize(
    ("state", "form"),
    [
        *((state, "{}") for state in sorted(State)),
        (State.QUEUED, "urn:uuid:{}"),
        (State.QUEUED, "/api/v1/tree-items/{}/content"),
    ],
)
def test_a_file_that_a_task_names_stays_until_that_task_has_ended(
    engine: Engine, put: Put, clean: Callable[..., Any], state: State, form: str
) -> None:
    named, other = put(100), put(100)
    with ledger.transaction(engine) as conn:
        worker = rows.register(conn)
        rows.put(conn, state, worker_id=worker, params={"sources": [{"item": form.format(named.id)}]})
    spared = set() if state in FINAL else {named.id}
    assert clean({"dry_run": True}).result["in_use"] == len(spared)
    assert clean().result["in_use"] == len(spared)
    assert kept(engine) == spared
    assert other.id not in spared


def test_capitals_and_missing_hyphens_name_a_file_too(engine: Engine, put: Put, clean: Callable[..., Any]) -> None:
    items = [put(100), put(100)]
    with ledger.transaction(engine) as conn:
        rows.put(conn, State.QUEUED, params={"a": str(items[0].id).upper(), "b": items[1].id.hex})
    assert clean().result["in_use"] == 2
    assert kept(engine) == {item.id for item in items}


def content_replaced(engine: Engine, item: TreeItem) -> None:
    """As `geo.convert_to_raster` does it."""
    new = replace(item, storage_key=f"raster of {item.storage_key}", object_type="geo_raster_file")
    with ledger.transaction(engine) as conn:
        assert tree_items.replace_content(conn, new, instead_of=item.storage_key)


def test_a_content_that_replaced_an_old_one_is_as_old_as_itself(
    engine: Engine, put: Put, clean: Callable[..., Any]
) -> None:
    converted, image = put(100), put(100)
    content_replaced(engine, converted)
    assert clean({"dry_run": True}).result["files"] == 1
    assert clean().result["files"] == 1
    assert (converted.id in kept(engine), image.id in kept(engine)) == (True, False)
    later = sa.text("UPDATE tree_item SET created_at = created_at - interval '91 days'")
    ledger.run(engine, lambda conn: conn.execute(later))
    assert clean().result["files"] == 1
    assert kept(engine) == set()


def test_a_content_that_is_replaced_when_the_old_one_was_found_stays(
    engine: Engine, put: Put, monkeypatch: pytest.MonkeyPatch, upkeep: Upkeep, clean: Callable[..., Any]
) -> None:
    """By a task that ends before the file is deleted, so that none names it then."""
    item = put(100)
    delete = upkeep.delete_files

    def late(*args: Any, **named: Any) -> list[TreeItem]:
        content_replaced(engine, item)
        return delete(*args, **named)

    monkeypatch.setattr(upkeep, "delete_files", late)
    assert clean().result["files"] == 0
    assert kept(engine) == {item.id}


def test_an_archive_of_tasks_is_never_an_old_file(engine: Engine, put: Put, clean: Callable[..., Any]) -> None:
    archive = put(3000, object_type=OBJECT_TYPE)
    assert clean().result["files"] == 0
    assert kept(engine) == {archive.id}


def test_a_restricted_key_cleans_up_its_own_files_only(engine: Engine, put: Put, clean: Callable[..., Any]) -> None:
    own, others = put(100, submitted_by="mine"), [put(100, submitted_by="other"), put(100)]
    assert clean(submitted_by="mine", allowed_queues=["low_priority"]).result["files"] == 1
    assert kept(engine) == {item.id for item in others}
    assert own.id not in kept(engine)
    assert clean(submitted_by="free").result["files"] == 2


def test_no_caller_shortens_the_age_that_the_operator_has_set(
    engine: Engine, put: Put, clean: Callable[..., Any]
) -> None:
    item = put(100)
    fault = clean({"max_age_days": 89.9}).fault
    assert (fault.code, fault.retryable, fault.values) == ("age_too_short", False, {"days": 90.0})
    assert clean({"max_age_days": 101}).result["files"] == 0
    assert kept(engine) == {item.id}


def test_many_files_go_in_batches(engine: Engine, upload: Upload, clean: Callable[..., Any]) -> None:
    """More than one batch of the task has."""
    first = upload(b"x")
    many = sa.text("""
        INSERT INTO tree_item (id, name, content_type, size, sha256, storage_key, created_at)
        SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'f', 'text/plain', 1, '', md5(CAST(n AS text)),
            now() - interval '1 year' FROM generate_series(1, 1203) n""")
    ledger.run(engine, lambda conn: conn.execute(many))
    result = clean().result
    assert (result["files"], len(result["names"])) == (1203, 20)
    assert kept(engine) == {first.id}


def replaced_by_link(path: Path, target: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target, target_is_directory=True)


@pytest.mark.parametrize("what", ["object", "shard", "objects"])
def test_nothing_outside_of_the_storage_is_deleted_whatever_is_swapped_for_a_link(
    storage: LocalStorage, tmp_path: Path, put: Put, clean: Callable[..., Any], what: str
) -> None:
    item = put(100)
    key = item.storage_key
    outside = tmp_path / "outside"
    (outside / key[:2]).mkdir(parents=True)
    victims = [outside / key, outside / key[:2] / key]
    for victim in victims:
        victim.write_bytes(b"precious")
    places = {"object": f"objects/{key[:2]}/{key}", "shard": f"objects/{key[:2]}", "objects": "objects"}
    replaced_by_link(tmp_path / "storage" / places[what], victims[0] if what == "object" else outside)
    assert clean().result["files"] == 1
    assert all(victim.read_bytes() == b"precious" for victim in victims)


def test_bytes_that_cannot_be_deleted_now_are_left_to_the_sweep(
    engine: Engine, storage: LocalStorage, tmp_path: Path, put: Put, clean: Callable[..., Any]
) -> None:
    item = put(100)
    shutil.move(tmp_path / "storage", tmp_path / "away")
    (tmp_path / "storage").symlink_to("nowhere")
    assert clean().result["files"] == 1
    with engine.connect() as conn:
        loose = conn.execute(sa.text("SELECT key FROM loose_object")).scalars().all()
    assert loose == [item.storage_key]


def test_without_a_ledger_the_task_says_so(run: Run) -> None:
    assert partial(run, settings=SETTINGS)("files.cleanup_old", {}).fault.code == "no_database"
