"""What a child has used up is measured without using more, and its limits follow from those of the system."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskyard_worker.child import wear
from taskyard_worker.child.wear import RESERVE, Wear, descriptors_in_use


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    yield opened
    for descriptor in opened:
        os.close(descriptor)


def make(*, memory_mb: int = 0, descriptors: int | None = 0, threads: int = 0, most: int = 1024) -> Wear:
    return Wear(memory_mb=memory_mb, descriptors=descriptors, threads=threads, most=most)


def test_a_child_whose_limit_a_task_has_lowered_begins_nothing_more_and_gets_it_back() -> None:
    code = (
        "import resource; from taskyard_worker.child.wear import Wear\n"
        "most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "made = Wear(memory_mb=0, descriptors=0, threads=0, most=most)\n"
        "made.look_after_task(1.0); print(made.exhausted)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))\n"
        "made.look_after_task(1.0); print(made.exhausted.why)\n"
        "made.give_reserve(); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= most)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["None", "max_descriptors", "True"]


def test_each_limit_is_told_with_what_is_used() -> None:
    assert make().look() is None
    for name, changes in {
        "max_memory": {"memory_mb": 1},
        "max_descriptors": {"descriptors": 1},
        "max_threads": {"threads": 1},
    }.items():
        other = threading.Event()
        thread = threading.Thread(target=other.wait)
        thread.start()
        worn = make(**changes).look()
        other.set()
        thread.join()
        assert worn is not None
        assert worn.why == name
        assert worn.used is not None
        assert worn.limit is not None
        assert worn.used > worn.limit


def test_descriptors_are_counted_whatever_the_system_tells(descriptors: list[int]) -> None:
    counted = len([*Path("/proc/self/fd").iterdir()]) - 1
    assert descriptors_in_use() - counted in {0, 1}
    assert descriptors_in_use(lambda path: os.stat_result([0] * 10)) - counted in {0, 1}, "Linux before 6.2"
    assert len(descriptors) < counted


@pytest.mark.parametrize(
    ("descriptors", "most", "limit"),
    [(None, 1024, 512), (None, 1_000_000, 10_000), (800, 1024, 800), (5000, 1024, 1024)],
)
def test_the_limit_of_descriptors_follows_from_that_of_the_system(
    monkeypatch: pytest.MonkeyPatch, descriptors: int | None, most: int, limit: int
) -> None:
    made = make(descriptors=descriptors, most=most)
    for used, expected in ((limit, None), (limit + 1, "max_descriptors")):
        monkeypatch.setattr(wear, "descriptors_in_use", lambda used=used: used)
        worn = made.look()
        assert (worn and worn.why) == expected


def test_a_child_that_has_hardly_any_descriptor_left_is_exhausted_for_good(
    descriptors: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, scarce = make(most=1024), make(most=52)
    for made in (enough, scarce):
        made.look_after_task(1.0)
    assert enough.exhausted is None
    assert scarce.exhausted is not None
    monkeypatch.setattr(wear, "descriptors_in_use", lambda: 1)
    scarce.look_after_task(1.0)
    assert scarce.exhausted is not None


def test_descriptors_are_kept_from_tasks_and_given_back_at_the_end() -> None:
    script = (
        "import resource; from taskyard_worker.child.wear import Wear, keep_reserve\n"
        "print(keep_reserve()); made = Wear(memory_mb=0, descriptors=0, threads=0, most=1)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0]); made.give_reserve()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(soft - RESERVE), str(soft - RESERVE), str(soft)]
