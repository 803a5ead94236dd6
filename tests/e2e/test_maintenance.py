"""Maintenance on one stack: what is archived, deleted and cleaned up, and a process that is killed in between."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from taskyard.domain.ids import earliest_id_at, new_id
from tests.support.composed import guard_moves
from tests.support.fleet import Fleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

_SCHEDULER = Path(sys.executable).parent / "taskyard-scheduler"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Fleet]:
    """Its worker dies right before and right after an archive becomes durable, once each."""
    fleet = Fleet(tmp_path_factory.mktemp("maintenance"), new_database(), new_redis_url())
    guard_moves(fleet.engine)
    fleet.environment |= {
        "TASKYARD_ARCHIVE_SUCCEEDED_AFTER_DAYS": "0",
        "TASKYARD_TEMP_FILE_MAX_AGE_HOURS": "0.0000001",
        "TASKYARD_FAILPOINTS": "archive.before,archive.after",
    }
    try:
        fleet.start_all(queues="default,low_priority")
        yield fleet
    finally:
        fleet.stop()


def done(stack: Fleet, name: str, params: dict[str, Any] | None = None) -> Any:
    task_id = stack.submit(name, params)
    stack.wait_state(task_id, "succeeded", seconds=60)
    return stack.http.get(f"/tasks/{task_id}").json()["result"]


def archive(stack: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(_SCHEDULER), "archive", *arguments]
    return subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.long
def test_a_worker_that_is_killed_before_and_after_the_file_is_there_loses_no_task_and_archives_none_twice(
    stack: Fleet,
) -> None:
    ids = stack.submit_many(30, "diagnostics.echo", {"value": "kept"})
    assert stack.wait_final(ids, 60) == {"succeeded": 30}
    task_id = stack.submit("maintenance.archive_tasks")
    stack.wait_state(task_id, "succeeded", seconds=90)
    reached = {path.name for path in (stack.home / "temp/failpoints").iterdir()}
    assert reached == {"archive.before", "archive.after"}, "it died there"
    task = stack.http.get(f"/tasks/{task_id}").json()
    assert (task["result"]["archived"], task["result"]["stayed"], task["attempt"]) == (30, 0, 3)
    assert stack.states(ids) == {}
    assert stack.http.get(f"/tasks/{ids[0]}").status_code == 404
    (item_id,) = task["result"]["item_ids"]
    listed = json.loads(archive(stack, "list", "--json").stdout)["items"]
    assert [(a["item_id"], a["tasks"], a["deleted"]) for a in listed] == [(item_id, 30, 30)]
    shown = archive(stack, "show", "--name", "diagnostics.echo", "--json").stdout.splitlines()
    assert sorted(json.loads(line)["id"] for line in shown) == sorted(ids)


@pytest.mark.long
def test_an_archived_task_is_shown_by_its_id_and_by_time_and_another_is_none(stack: Fleet) -> None:
    task_id = stack.submit("diagnostics.echo", {"value": "shown"})
    stack.wait_state(task_id, "succeeded")
    before = datetime.now(UTC) - timedelta(hours=1)
    done(stack, "maintenance.archive_tasks")
    lines = [json.loads(line) for line in archive(stack, "show", task_id, "--json").stdout.splitlines()]
    assert (lines[0]["line"], lines[0]["result"]) == ("task", {"value": "shown"})
    assert {line["line"] for line in lines[1:]} == {"attempt"}
    plain = archive(stack, "show", task_id).stdout
    assert "diagnostics.echo" in plain
    assert "attempt 1 succeeded" in plain
    assert task_id in archive(stack, "show", "--ended-after", f"{before:%Y-%m-%dT%H:%M:%SZ}").stdout
    assert archive(stack, "show", "--ended-before", f"{before:%Y-%m-%dT%H:%M:%SZ}").returncode == 1
    assert "stayed" not in archive(stack, "list").stdout
    missing = archive(stack, "show", str(new_id()))
    assert (missing.returncode, missing.stderr) == (1, "taskyard-scheduler: no archive holds such a task.\n")
    assert archive(stack, "show").returncode == 2


def test_where_the_file_of_an_archive_is_lost_the_task_fails_and_says_what_to_do(stack: Fleet) -> None:
    upload = stack.http.post("/tree-items", content=b"x", headers={"X-Filename": "lost", "Content-Type": "text/plain"})
    item_id = upload.json()["item_id"]
    lost = "UPDATE tree_item SET storage_key = repeat('0', 32) WHERE id = :item RETURNING id"
    stack.query(lost, item=UUID(item_id))
    stack.query(
        "INSERT INTO task_archive (id, task_id, claim, item_id, tasks) VALUES (:id, :id, :id, :item, 1) RETURNING id",
        id=new_id(),
        item=UUID(item_id),
    )
    task_id = stack.submit("maintenance.archive_tasks")
    stack.wait_state(task_id, "failed")
    error = stack.http.get(f"/tasks/{task_id}", headers={"Accept-Language": "de"}).json()["error"]
    assert error["code"] == "archive_damaged"
    assert item_id in error["message"]
    assert error["message"].startswith("Die Datei des Archivs")
    assert stack.http.delete(f"/tree-items/{item_id}").status_code == 204
    assert done(stack, "maintenance.archive_tasks")["more"] is False


def old_item(stack: Fleet, content: bytes) -> UUID:
    """Stored a hundred days ago."""
    answer = stack.http.post("/tree-items", content=content, headers={"X-Filename": "old.txt"})
    item_id, at = UUID(answer.json()["item_id"]), datetime.now(UTC) - timedelta(days=100)
    old = UUID(int=earliest_id_at(at).int | item_id.int & ((1 << 80) - 1))
    change = "UPDATE tree_item SET id = :old, created_at = :at WHERE id = :id RETURNING id"
    stack.query(change, id=item_id, old=old, at=at)
    return old


def test_old_files_go_unless_a_waiting_task_names_them(stack: Fleet) -> None:
    old, named = old_item(stack, b"12345"), old_item(stack, b"123")
    young = stack.http.post("/tree-items", content=b"1", headers={"X-Filename": "young"}).json()["item_id"]
    stack.submit("files.process_large_file", {"item_id": str(named)}, delay_seconds=3600)
    would = done(stack, "files.cleanup_old", {"dry_run": True})
    assert would == {"dry_run": True, "files": 1, "bytes": 5, "in_use": 1, "names": ["old.txt"]}
    assert stack.http.get(f"/tree-items/{old}").status_code == 200
    assert done(stack, "files.cleanup_old") == {**would, "dry_run": False}
    statuses = {item: stack.http.get(f"/tree-items/{item}/content").status_code for item in (old, named, young)}
    assert statuses == {old: 404, named: 200, young: 200}
    (row,) = stack.http.get("/audit", params={"target": str(old)}).json()["items"]
    assert row["action"] == "tree_item.delete"
    assert row["actor"].startswith("task:")


def test_an_age_below_the_operators_is_refused_with_a_reason(stack: Fleet) -> None:
    task_id = stack.submit("files.cleanup_old", {"max_age_days": 1})
    stack.wait_state(task_id, "failed")
    error = stack.http.get(f"/tasks/{task_id}").json()["error"]
    assert (error["code"], error["retryable"]) == ("age_too_short", False)
    assert "90" in error["message"]


def test_expired_data_and_temporary_files_go(stack: Fleet) -> None:
    temp = stack.home / "temp"
    with redis.Redis.from_url(stack.environment["TASKYARD_REDIS_URL"]) as client:
        client.set("taskyard:models:ollama", "{}")
        (temp / "old").write_text("x")
        time.sleep(0.01)
        found = done(stack, "maintenance.cleanup_expired_data")
        assert found == {"redis_keys_cleaned": 1, "temp_files_removed": 1}
        assert not client.exists("taskyard:models:ollama")
    (temp / "old").write_text("x")
    time.sleep(0.01)
    wished = stack.submit("files.cleanup_temporary", {"dry_run": True})
    stack.wait_state(wished, "succeeded")
    assert stack.http.get(f"/tasks/{wished}").json()["result"] == {"dry_run": True, "temp_files_removed": 1}
    assert (temp / "old").exists()
    assert done(stack, "files.cleanup_temporary") == {"dry_run": False, "temp_files_removed": 1}
    left = {path.name for path in temp.iterdir()}
    assert left == {"attempts", "failpoints"}, "what live workers use"
