"""Temporary files past their age go, by either of two tasks; what a live attempt uses stays, and nothing outside is
touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskyard.storage.local import LocalStorage
from taskyard_kits import temporary_files
from taskyard_kits.files.settings import FileSettings
from taskyard_kits.temporary_files import MAX_DEPTH, TemporaryFileSettings
from taskyard_worker.child.interrupts import ShieldedStorage, ThreadInterrupts
from taskyard_worker.temp_dirs import TempDirs
from tests.kits.conftest import Run, Upload

ROOT = Path(__file__).parents[3]
HOUR = 3600
NOTHING: Any = SimpleNamespace(check_cancelled=lambda: None, storage=SimpleNamespace(directory=None))


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    made = tmp_path / "temp"
    made.mkdir()
    return made


@pytest.fixture
def worker(temp: Path) -> Iterator[TempDirs]:
    made = TempDirs(temp)
    made.open()
    yield made
    made.close()


def clean(temp: Path, *, hours_later: float, context: Any = NOTHING) -> int:
    """A time of change cannot be set, so it is the clock that goes on."""
    settings = TemporaryFileSettings(temp_dir=temp, temp_file_max_age_hours=24)
    removal = temporary_files.Removal(context)
    removal.remove_old(settings, now=lambda: time.time() + hours_later * HOUR)
    return removal.files


def test_old_files_and_directories_that_are_empty_then_go_and_young_ones_stay(temp: Path) -> None:
    (temp / "a/b").mkdir(parents=True)
    for name in ("old", "a/old", "a/b/old"):
        (temp / name).write_text("x")
    assert clean(temp, hours_later=23) == 0
    assert clean(temp, hours_later=25) == 3
    assert list(temp.iterdir()) == []


def test_a_file_with_an_old_time_of_writing_that_came_just_now_stays(temp: Path) -> None:
    """As an archive that is unpacked leaves it."""
    unpacked = temp / "unpacked"
    unpacked.write_text("x")
    os.utime(unpacked, (0, 0))
    assert clean(temp, hours_later=0) == 0
    assert unpacked.exists()


def test_what_an_attempt_of_a_live_worker_uses_stays_whatever_its_age(temp: Path, worker: TempDirs) -> None:
    attempt = worker.of_child("child") / "task-1"
    attempt.mkdir()
    (attempt / "in use").write_text("x")
    assert clean(temp, hours_later=10_000) == 0
    assert (attempt / "in use").exists()


def test_what_a_dead_worker_left_goes_whatever_its_age(temp: Path, worker: TempDirs) -> None:
    dead = TempDirs(temp)
    dead.open()
    attempt = dead.of_child("child") / "task-1"
    attempt.mkdir()
    (attempt / "left").write_text("x")
    assert dead._lock is not None
    os.close(dead._lock)  # as its death would
    assert clean(temp, hours_later=0) == 1
    live = worker.of_child("child").parent.name
    assert sorted(path.name for path in (temp / "attempts").iterdir()) == [live, f"{live}.lock"]


@pytest.mark.parametrize("name", ["..lock", "...lock", ".lock", "x.lock"])
def test_the_lock_of_no_worker_makes_nothing_go(temp: Path, worker: TempDirs, name: str) -> None:
    """`..lock` would be that of the directory itself, `...lock` that of the one above."""
    attempt = worker.of_child("child") / "in use"
    attempt.write_text("x")
    (temp.parent / "neighbour").write_text("x")
    (temp / "attempts" / name).touch()
    assert clean(temp, hours_later=10_000) == 0
    worker._sweep()  # of a worker that starts
    assert attempt.exists()
    assert (temp.parent / "neighbour").exists()


def test_links_go_and_what_they_lead_to_stays(temp: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (temp / "to a directory").symlink_to(outside, target_is_directory=True)
    (temp / "to a file").symlink_to(outside / "precious")
    (temp / "to nowhere").symlink_to("nowhere")
    assert clean(temp, hours_later=25) == 3
    assert list(temp.iterdir()) == []
    assert (outside / "precious").exists()


@pytest.mark.parametrize("name", ["attempts", "directory"])
def test_a_directory_that_is_swapped_for_a_link_in_the_last_moment_leads_nowhere(
    temp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    outside = tmp_path / "outside"
    lock = "0" * 8 + "-0000-4000-8000-" + "0" * 12
    (outside / lock).mkdir(parents=True)
    for precious in ("precious", f"{lock}.lock", f"{lock}/precious"):
        (outside / precious).write_text("x")
    (temp / name).mkdir()
    opened = os.open

    def swap_first(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if path == name and (temp / name).is_dir() and not (temp / name).is_symlink():
            (temp / name).rmdir()
            (temp / name).symlink_to(outside, target_is_directory=True)
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", swap_first)
    clean(temp, hours_later=25)
    assert (temp / name).is_symlink(), "it was swapped"
    assert sorted(path.name for path in outside.rglob("*")) == [lock, f"{lock}.lock", "precious", "precious"]


def test_a_tree_that_is_deeper_than_descriptors_are_given_stays(temp: Path) -> None:
    deep = temp.joinpath(*"d" * (MAX_DEPTH + 5))
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    assert clean(temp, hours_later=25) == 0
    assert (deep / "file").exists()


# Root may remove everything, by capabilities that a process can be started without.
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
CLEANING = """
import sys
from pathlib import Path
from tests.kits.maintenance.test_temporary_files import clean
print(clean(Path(sys.argv[1]), hours_later=25))
"""


def test_what_may_not_be_removed_stays_and_ends_nothing(temp: Path) -> None:
    (temp / "closed").mkdir()
    (temp / "closed/file").write_text("x")
    (temp / "closed").chmod(0)
    (temp / "open").write_text("x")
    cleaning = [*UNPRIVILEGED, sys.executable, "-c", CLEANING, str(temp)]
    removed = subprocess.run(cleaning, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    (temp / "closed").chmod(0o700)
    assert removed == "1\n"
    assert [path.name for path in temp.rglob("*")] == ["closed", "file"]


def test_a_directory_that_does_not_exist_holds_nothing(temp: Path) -> None:
    assert clean(temp / "nowhere", hours_later=25) == 0


def test_a_cancellation_ends_it_between_two_files(temp: Path) -> None:
    for n in range(10):
        (temp / str(n)).write_text("x")
    looked: list[int] = []

    def check() -> None:
        looked.append(1)
        if len(looked) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean(
            temp,
            hours_later=25,
            context=SimpleNamespace(check_cancelled=check, storage=SimpleNamespace(directory=None)),
        )
    assert len(list(temp.iterdir())) == 7


def test_the_task_of_the_files_kit_does_it(run: Run, temp: Path) -> None:
    (temp / "old").write_text("x")
    settings = FileSettings(temp_dir=temp, temp_file_max_age_hours=1e-9)
    time.sleep(0.02)
    assert run("files.cleanup_temporary", settings=settings).result == {"dry_run": False, "temp_files_removed": 1}


def test_a_dry_run_counts_what_would_go_and_removes_nothing(run: Run, temp: Path) -> None:
    dead = TempDirs(temp)
    dead.open()
    (dead.of_child("child") / "left").write_text("x")
    assert dead._lock is not None
    os.close(dead._lock)  # as its death would
    (temp / "a").mkdir()
    (temp / "a/old").write_text("x")
    settings = FileSettings(temp_dir=temp, temp_file_max_age_hours=1e-9)
    time.sleep(0.02)
    there = sorted(temp.rglob("*"))
    told = [run("files.cleanup_temporary", {"dry_run": dry}, settings=settings).result for dry in (True, True, False)]
    assert told == [{"dry_run": dry, "temp_files_removed": 2} for dry in (True, True, False)]
    assert sorted(temp.rglob("*")) == [temp / "attempts"] != there


@pytest.mark.parametrize("where", ["storage", "above", "below", "a link"])
def test_a_directory_that_overlaps_the_storage_is_not_cleaned(
    run: Run, upload: Upload, storage: LocalStorage, temp: Path, where: str
) -> None:
    item = upload(b"precious")
    (temp / "link").symlink_to(storage._root)
    places = {"storage": storage._root, "above": storage._root.parent, "below": storage._root / "objects"}
    directory = places.get(where, temp / "link")
    settings = FileSettings(temp_dir=directory, temp_file_max_age_hours=1e-9)
    time.sleep(0.02)
    # As the tasks of a worker have it.
    shielded = ShieldedStorage(storage, ThreadInterrupts())
    fault = run("files.cleanup_temporary", settings=settings, storage=shielded).fault
    assert (fault.code, fault.retryable) == ("temp_dir_overlaps", False)
    with storage.open(item.storage_key) as file:
        assert file.read() == b"precious"


def test_what_is_no_directory_is_told_without_its_path(run: Run, temp: Path) -> None:
    (temp / "file").write_text("x")
    fault = run("files.cleanup_temporary", settings=FileSettings(temp_dir=temp / "file")).fault
    assert (fault.code, fault.retryable) == ("temp_dir_unusable", False)
    assert "TASKYARD_TEMP_DIR" in fault.message
    assert str(temp) not in fault.message


def test_the_settings_are_those_that_the_worker_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMP_DIR", "/var/elsewhere")
    monkeypatch.setenv("TASKYARD_TEMP_FILE_MAX_AGE_HOURS", "5")
    monkeypatch.setenv("FILE_CLEANUP_MAX_AGE_DAYS", "7")
    found = FileSettings()
    assert (found.temp_dir, found.temp_file_max_age_hours, found.file_cleanup_max_age_days) == (
        Path("/var/elsewhere"),
        5,
        7,
    )
