"""The temporary directories of workers that start and sweep at the same time (e2e/test_temp_dirs.py has their ends)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from taskyard_worker import temp_dirs
from taskyard_worker.temp_dirs import TempDirs
from tests.support.fleet import wait_for


def test_a_worker_that_starts_is_not_swept_as_a_dead_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker sweeps in the moment before this one holds its lock."""
    lock = fcntl.flock
    swept: list[bool] = []

    def lock_late(fd: int, how: int) -> None:
        if not swept:
            swept.append(True)
            other._sweep()
        lock(fd, how)

    other, starting = TempDirs(tmp_path), TempDirs(tmp_path)
    other.open()
    monkeypatch.setattr(fcntl, "flock", lock_late)
    starting.open()
    assert starting.of_child("child").is_dir()
    assert len(list((tmp_path / "attempts").glob("*.lock"))) == 2, "without one, no sweep would find what a kill leaves"
    for worker in (starting, other):
        worker.close()
    assert list((tmp_path / "attempts").iterdir()) == []


def test_what_could_not_be_removed_is_left_to_the_next_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = TempDirs(tmp_path)
    ending.open()
    left = ending.of_child("child")
    with monkeypatch.context() as patch:
        patch.setattr(temp_dirs, "remove_tree", lambda path: None)
        ending.close()
    assert left.is_dir()
    next_one = TempDirs(tmp_path)
    next_one.open()
    wait_for(lambda: not left.parent.exists(), 10, "it to be swept")
    next_one.close()
    assert os.listdir(tmp_path / "attempts") == []  # noqa: PTH208
