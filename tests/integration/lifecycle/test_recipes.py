"""The recipes of docs/contributing/ work as they are written: followed to the letter, on a copy of the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard.domain.tasks import FINAL, TRANSITIONS
from taskyard.lifecycle.composer import into
from tests.support.docs import code_blocks

ROOT = Path(__file__).parents[3]

_PROLOGUE = """
import json, sys
import taskyard
assert taskyard.__file__.startswith(sys.argv[2]), taskyard.__file__
from taskyard.store import ledger
from tests.integration.lifecycle.moves import *
from tests.integration.lifecycle.rows import *
engine = ledger.make_engine(sys.argv[1])
"""
_WALK = """
from taskyard.domain.tasks import TRANSITIONS
found = []
with ledger.connection(engine) as conn:
    worker = Worker(conn, register(conn))
    for edge in TRANSITIONS:
        task_id = prepare(conn, worker, edge, hold="active")
        move(worker, edge, task_id)
        if "ended" in events(conn, task_id):
            found.append(list(edge))
        for table in ("task", "task_event", "unique_key", "pace"):
            conn.execute(sa.text(f"DELETE FROM {table}"))
print(json.dumps(found))
"""
_UNBLOCK = """
from taskyard.lifecycle.unblock import unblock
with ledger.connection(engine) as conn:
    ids = {state: put(conn, state) for state in State if state is not State.RUNNING}
    before = {state: read(conn, i) for state, i in ids.items()}
    done = unblock(conn, list(ids.values()))
    changed = [str(state) for state, i in ids.items() if read(conn, i) != before[state]]
    row = read(conn, ids[State.BLOCKED])
    boxed = [[str(i) for i in tasks] for tasks in outbox(conn).values()]
    print(json.dumps([changed, row.state, row.publication, boxed == [[str(row.id)]], len(done.publications)]))
"""


_DIGEST = """
import taskyard_kits
assert taskyard_kits.__file__.startswith(sys.argv[2]), taskyard_kits.__file__
import pathlib
from functools import partial
from taskyard.running.trial import run_task
from taskyard.storage.local import LocalStorage
from tests.kits.conftest import put
import test_digest
storage = LocalStorage(pathlib.Path(sys.argv[2]) / "storage")
test_digest.test_the_digest_is_that_of_the_bytes(
    partial(run_task, engine=engine, storage=storage), partial(put, engine, storage)
)
from taskyard.catalogue.kits import load
from taskyard.settings import Settings
found = load(Settings()).catalogue["files.digest"]
print(json.dumps([found.description, found.queue, sorted(found.params.model_fields)]))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package `taskyard`, to be changed."""
    shutil.copytree(ROOT / "shared/taskyard", tmp_path / "taskyard", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(program: str, engine: Engine, copy: Path) -> Any:
    url = engine.url.render_as_string(hide_password=False)
    environment = {**os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", _PROLOGUE + program, url, str(copy)],
        cwd=copy, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_consequence_is_one_entry_in_one_file_and_follows_on_every_edge_that_the_table_gives_it(
    engine: Engine, copy: Path
) -> None:
    (entry,) = code_blocks(
        "contributing/consequences.md", "text"
    )  # ruff would format an entry that is marked as Python
    page = copy / "taskyard/lifecycle/consequences.py"
    text = page.read_text("utf-8")
    end = ")\n\ncompose = "
    assert text.count(end) == 1
    assert run(_WALK, engine, copy) == [], "nothing of the kind happens before"
    page.write_text(text.replace(end, f"{entry}{end}"), "utf-8")
    found = {tuple(edge) for edge in run(_WALK, engine, copy)}
    assert found == into(*FINAL) < set(TRANSITIONS)


def test_a_verb_is_one_file(engine: Engine, copy: Path) -> None:
    (module,) = code_blocks("contributing/verbs.md")
    (copy / "taskyard/lifecycle/unblock.py").write_text(module, "utf-8")
    assert run(_UNBLOCK, engine, copy) == [["blocked"], "queued", 1, True, 1]


@pytest.mark.long
def test_a_task_type_is_one_entry_in_two_files_of_its_kit_and_tests(engine: Engine, copy: Path) -> None:
    shutil.copytree(ROOT / "kits/taskyard_kits", copy / "taskyard_kits", ignore=shutil.ignore_patterns("__pycache__"))
    declarations, tasks, test = code_blocks("contributing/task-types.md")
    for module, block in (("declarations", declarations), ("tasks", tasks)):
        path = copy / f"taskyard_kits/files/{module}.py"
        path.write_text(f"{path.read_text('utf-8')}\n\n{block}", "utf-8")
    (copy / "test_digest.py").write_text(test, "utf-8")
    assert run(_DIGEST, engine, copy) == ["Computes the SHA-256 of a stored file.", "default", ["item_id"]]

    (row,) = code_blocks("contributing/task-types.md", "text")
    table = copy / "test_agreement.py"
    shutil.copy(ROOT / "tests/unit/catalogue/test_agreement.py", table)
    missing = agree(copy)
    assert missing.returncode == 1, missing.stdout
    assert "test_every_type_has_its_table" in missing.stdout
    text, first = table.read_text("utf-8"), '    "diagnostics.echo": (\n'
    assert text.count(first) == 1
    table.write_text(text.replace(first, row + first), "utf-8")
    agreed = agree(copy)
    assert agreed.returncode == 0, agreed.stdout
    # Its table, two kinds of rows (one accepted, three refused), and the odd values.
    assert "6 passed" in agreed.stdout


def agree(copy: Path) -> subprocess.CompletedProcess[str]:
    """The tests of the table of values for the new type, on the copy."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_agreement.py", "-k", "table or digest"],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
