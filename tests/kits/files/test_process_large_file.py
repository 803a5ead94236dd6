"""files.process_large_file on stored files: right, and in little memory."""

import random
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, RetryIn
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from tests.kits.conftest import Run, Upload

NAME = "files.process_large_file"


def large_file(path: Path, megabytes: int) -> int:
    """Writes log lines of many lengths; returns how many are blank."""
    rng = random.Random(7)
    lines = [f"{n} 10.0.{n % 256}.1 GET /items/{n} 200 " + "é" * rng.randint(0, 120) for n in range(5000)]
    lines += ["", "  ", "\t\r"]
    block = "\n".join(lines).encode() + b"\n"
    repeats = megabytes * 1_000_000 // len(block)
    with path.open("wb") as file:
        for _ in range(repeats):
            file.write(block)
    return repeats * 3


def test_the_counts_of_a_large_file_are_those_of_wc_and_memory_stays_flat(
    run: Run, upload: Upload, tmp_path: Path
) -> None:
    path = tmp_path / "large.log"
    blank = large_file(path, 200)
    lines = int(subprocess.check_output(["wc", "-l", path]).split()[0])
    item = upload(path, "large.log")
    process = psutil.Process()
    before = process.memory_info().rss
    started = time.perf_counter()
    done = run(NAME, {"item_id": item.id})
    took = time.perf_counter() - started
    assert done.result == {
        "item_id": str(item.id),
        "processed_lines": lines,
        "blank_lines": blank,
        "bytes": path.stat().st_size,
        "invalid_lines": 0,
        "invalid_line_numbers": [],
        "last_line_unterminated": False,
    }
    assert took < 100
    # 20,000 reports are kept by this test itself.
    assert process.memory_info().rss - before < 30_000_000


def test_progress_comes_every_hundred_lines_and_the_bar_ends_full(run: Run, upload: Upload) -> None:
    done = run(NAME, {"item_id": upload(b"line\n" * 950).id})
    hundreds = [(n, 950, "Reading the lines") for n in range(100, 1000, 100)]
    assert done.progress == [(0, None, "Counting the lines"), *hundreds, (950, 950, "Done")]
    assert done.stages == ["Counting the lines", "Reading the lines", "Done"]


@pytest.mark.parametrize(
    ("content", "pattern", "lines", "invalid"),
    [
        (b"", None, 0, []),
        (b"one\ntwo", None, 2, []),
        (b"ok\n\xff\nok\n\xc3", None, 4, [2, 4]),
        (b"a1\r\nb\r\na2\r\n", r"^a\d$", 3, [2]),
        (b"x" * 3_000_000, "y", 1, [1]),
        (b"x" * 1_000_000 + b"y", "y$", 1, []),
        (b"x" * 3_000_000 + b"y\nxy", "y$", 2, [1]),
    ],
)
def test_lines_are_checked(
    run: Run, upload: Upload, content: bytes, pattern: str | None, lines: int, invalid: list[int]
) -> None:
    result = run(NAME, {"item_id": upload(content).id, "pattern": pattern}).result
    assert (result["processed_lines"], result["invalid_line_numbers"]) == (lines, invalid)
    assert result["invalid_lines"] == len(invalid)


def failure(run: Run, item_id: object) -> Failed | RetryIn:
    outcome = run(NAME, {"item_id": item_id}).outcome
    assert isinstance(outcome, Failed | RetryIn)
    return outcome


def test_an_unknown_item_is_said_to_be_unknown_and_not_tried_again(run: Run) -> None:
    outcome = failure(run, new_id())
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "item_not_found"


def test_lost_and_cut_content_is_told_apart(run: Run, upload: Upload, storage: LocalStorage, tmp_path: Path) -> None:
    item = upload(b"some\nlines\n")
    (path,) = (tmp_path / "storage" / "objects").rglob(item.storage_key)
    for damaged in (b"some\n", b"some\nmines\n"):
        path.write_bytes(damaged)
        assert failure(run, item.id).fault.code == "file_damaged"
    storage.delete(item.storage_key)
    assert failure(run, item.id).fault.code == "file_missing"


def test_a_storage_that_is_away_is_tried_again(run: Run, upload: Upload, tmp_path: Path) -> None:
    item = upload(b"some\nlines\n")
    (tmp_path / "storage").rename(tmp_path / "elsewhere")
    (tmp_path / "storage").write_text("not a directory")
    outcome = failure(run, item.id)
    assert isinstance(outcome, RetryIn)
    assert outcome.fault.code == "storage_unavailable"


def test_names_that_play_tricks_are_only_names(run: Run, upload: Upload, engine: Engine) -> None:
    for name in ("../../etc/passwd", "/etc/passwd", "..", "a\\..\\b", "\u202egnp.exe"):
        item = upload(b"x\n", name)
        assert run(NAME, {"item_id": item.id}).result["processed_lines"] == 1
        with ledger.connection(engine) as conn:
            assert tree_items.get(conn, [item.id])[item.id].name == name
