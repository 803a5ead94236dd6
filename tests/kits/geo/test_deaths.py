"""Whenever a worker or a converter dies, the item has its old content or the new one, whole; and the next attempt
makes the raster."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import RetryIn
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger
from taskyard.store.tree_items import TreeItem
from taskyard_kits.geo.process import Converter
from tests.kits.conftest import Run, Upload
from tests.kits.geo import dying
from tests.kits.geo.conftest import NAME, PLACE, After, picture, saved
from tests.support.cases import one_in


def content_of(item: TreeItem, storage: LocalStorage) -> bytes:
    with storage.open(item.storage_key) as file:
        content = file.read()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (item.size, item.sha256)
    return content


@pytest.mark.parametrize("step", one_in(5, dying.STEPS, begin=3))
def test_a_kill_leaves_the_old_content_or_the_new_and_the_next_attempt_ends_it(
    step: str,
    run: Run,
    upload: Upload,
    after: After,
    engine: Engine,
    task_url: str,
    storage: LocalStorage,
    tmp_path: Path,
) -> None:
    item, task_id = upload(saved(picture(), "PNG"), "map.png"), new_id()
    command = [sys.executable, "-m", "tests.kits.geo.dying", task_url, str(tmp_path / "storage")]
    killed = subprocess.run([*command, str(item.id), str(task_id), step, json.dumps(PLACE)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    left = after(item)
    content = content_of(left, storage)
    if step == "replaced.after":
        assert (left.object_type, left.name, left.task_id) == ("geo_raster_file", "map.tif", task_id)
    else:
        assert left == item
        assert content == saved(picture(), "PNG")
    result = run(NAME, {"item_id": item.id, **PLACE}, task_id=task_id, attempt=2).result
    now = after(item)
    assert content_of(now, storage).startswith(b"II")
    assert (now.object_type, now.size) == ("geo_raster_file", result["size"])
    # What belongs to no item is known to belong to none, so that it is deleted a day later.
    objects = {path.name for path in (tmp_path / "storage/objects").rglob("*") if path.is_file()}
    with ledger.connection(engine) as conn:
        loose = set(conn.execute(sa.text("SELECT key FROM loose_object")).scalars())
    assert objects - {now.storage_key} <= loose
    assert now.storage_key not in loose


def test_a_converter_that_is_killed_leaves_the_old_content_and_the_attempt_is_repeated(
    run: Run, upload: Upload, after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, tell = upload(saved(picture(), "PNG"), "map.png"), Converter.tell

    def kill(converter: Converter, line: str) -> None:
        tell(converter, line)
        if line == "go on":
            converter.program.process.kill()

    monkeypatch.setattr(Converter, "tell", kill)
    assert isinstance(run(NAME, {"item_id": item.id, **PLACE}).outcome, RetryIn)
    assert after(item) == item
