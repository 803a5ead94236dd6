"""`taskyard-scheduler archive`: what cannot be read is told, and hides nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from taskyard.domain.ids import new_id
from taskyard.storage.archive_lines import writing
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, task_archives, tree_items
from taskyard.store.task_archives import OBJECT_TYPE, Span
from taskyard.store.tree_items import TreeItem
from taskyard_scheduler.commands import app

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ODD = "\x1b[2Jname\u202e"


@pytest.fixture
def storage(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    monkeypatch.setenv("TASKYARD_DATABASE_URL", database_url)
    monkeypatch.setenv("TASKYARD_STORAGE_DIR", str(tmp_path))
    return LocalStorage(tmp_path)


def put(
    engine: Engine, storage: LocalStorage, *, name: str = "email.send", more: dict[str, Any] | None = None
) -> tuple[UUID, TreeItem]:
    """An archive of one task, with an attempt, and an event that names another task; `more`: a line before it."""
    task_id = new_id()
    with ledger.transaction(engine) as conn:
        archive = task_archives.begin(conn, new_id(), new_id())
        assert archive is not None
        with storage.writer() as writer:
            with writing(writer, archive.id, archive.task_id, frozenset()) as lines:
                task = {"id": task_id, "finished_at": AT, "state": "failed", "queue": "default", "name": name}
                if more is not None:
                    lines.write("task", more)
                lines.write("task", {**task, "params": {"to": "ada"}, "error": {"code": "odd", "message": "Why so."}})
                trace = "Traceback\n  in there"
                lines.write("attempt", {"task_id": task_id, "attempt": 1, "outcome": "failed", "traceback": trace})
                data = {"message": f"after {new_id()}"}
                lines.write("event", {"task_id": task_id, "at": AT, "kind": "log", "data": data})
            stored = writer.commit()
        item = TreeItem(
            id=new_id(),
            name="a",
            object_type=OBJECT_TYPE,
            content_type="application/gzip",
            size=stored.size,
            sha256=stored.sha256,
            storage_key=stored.key,
        )
        task_archives.stored(conn, archive, item, Span(1, task_id, task_id, AT, AT))
        task_archives.count_deleted(conn, archive, 1)
        task_archives.close(conn, archive)
    return task_id, item


def archive(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["archive", *arguments])


def test_a_task_is_shown_for_people_and_for_programs(engine: Engine, storage: LocalStorage) -> None:
    task_id, _ = put(engine, storage, name=ODD)
    plain = archive("show", str(task_id))
    assert plain.exit_code == 0
    assert f"{task_id}  2026-01-31T12:00:00  failed  default  \\u001b[2Jname\\u202e  odd" in plain.stdout
    for said in ('    params: {"to": "ada"}', "Why so.", "    traceback: Traceback\n      in there"):
        assert said in plain.stdout
    lines = [json.loads(line) for line in archive("show", str(task_id), "--json").stdout.splitlines()]
    assert [line["line"] for line in lines] == ["task", "attempt", "event"]
    assert lines[0]["name"] == ODD


def test_tasks_are_found_by_when_they_ended(engine: Engine, storage: LocalStorage) -> None:
    first, second = put(engine, storage)[0], put(engine, storage, name="other")[0]

    def shown(*arguments: str) -> list[str]:
        return [json.loads(line)["id"] for line in archive("show", *arguments, "--json").stdout.splitlines()]

    assert shown("--ended-after", "2026-01-31T12:00:00Z") == [str(second), str(first)]
    assert shown("--ended-after", "2026-01-31T12:00:01Z") == []
    assert shown("--ended-before", "2026-01-31T13:00:01+01:00", "--name", "other") == [str(second)]
    assert shown("--ended-before", "2026-01-31T12:00:00Z") == []
    listed = json.loads(archive("list", "--ended-after", "2026-01-31T12:00:01Z", "--json").stdout)
    assert listed == {"items": []}
    assert archive("show", "--ended-after", "yesterday").exit_code == 2


@pytest.mark.parametrize("how", ["gone", "cut", "no archive"])
def test_an_archive_that_cannot_be_read_is_told_and_the_others_are_shown(
    engine: Engine, storage: LocalStorage, tmp_path: Path, how: str
) -> None:
    intact = put(engine, storage)[0]
    _, item = put(engine, storage)
    path = tmp_path / "objects" / item.storage_key[:2] / item.storage_key
    match how:
        case "gone":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:40])
        case _:
            path.write_bytes(b"something else")
    found = archive("show", "--name", "email.send", "--json")
    assert found.exit_code == 1
    assert str(intact) in found.stdout
    assert found.stderr.startswith("taskyard-scheduler: the archive ")
    assert ("is gone" if how == "gone" else "is damaged") in found.stderr


@pytest.mark.parametrize("more", [{"name": "other"}, {"name": "other", "finished_at": 5}, {"id": "no date"}])
def test_a_damaged_line_is_told_and_what_stands_behind_it_is_shown(
    engine: Engine, storage: LocalStorage, more: dict[str, Any]
) -> None:
    task_id, item = put(engine, storage, more=more)
    for arguments in (["--name", "email.send"], [str(item.id)]):
        found = archive("show", *arguments)
        assert found.exit_code == 1
        assert str(task_id) in found.stdout
        assert found.stderr.count("is damaged: a task lacks its name, or the time of its end") == 1
    assert archive("show", str(task_id)).exit_code == 0


def test_an_archive_is_shown_by_its_id_and_by_that_of_its_item(engine: Engine, storage: LocalStorage) -> None:
    put(engine, storage)
    task_id, item = put(engine, storage)
    (listed, _) = json.loads(archive("list", "--json").stdout)["items"]
    for known_as in (item.id, listed["id"]):
        lines = archive("show", str(known_as), "--json").stdout.splitlines()
        assert [json.loads(line)["id"] for line in lines] == [str(task_id)]


def test_an_archive_that_was_deleted_is_told_and_is_no_failure(engine: Engine, storage: LocalStorage) -> None:
    task_id = put(engine, storage)[0]
    other_id, gone = put(engine, storage)
    # Both may hold it.
    ledger.run(engine, lambda conn: conn.execute(sa.text("UPDATE task_archive SET first_id = :id"), {"id": task_id}))
    with ledger.transaction(engine) as conn:
        tree_items.delete(conn, [gone.id])
    assert [line.endswith("  (deleted)") for line in archive("list").stdout.splitlines()] == [True, False, False]
    assert [a["item_deleted"] for a in json.loads(archive("list", "--json").stdout)["items"]] == [True, False]
    found = archive("show", str(task_id))
    assert (found.exit_code, found.stderr.endswith(": it was deleted\n")) == (0, True)
    assert archive("show", "--name", "email.send").exit_code == 0
    assert archive("show", str(other_id)).exit_code == 1


def test_a_task_that_is_found_is_no_failure_where_another_archive_cannot_be_read(
    engine: Engine, storage: LocalStorage
) -> None:
    task_id = put(engine, storage)[0]
    _, gone = put(engine, storage)
    ledger.run(engine, lambda conn: conn.execute(sa.text("UPDATE task_archive SET first_id = :id"), {"id": task_id}))
    storage.delete(gone.storage_key)
    found = archive("show", str(task_id))
    assert (found.exit_code, "its file is gone" in found.stderr) == (0, True)
    assert archive("show", str(new_id())).exit_code == 1
