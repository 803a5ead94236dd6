"""A child that the kernel killed for want of memory is told apart, where the kernel counts that."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskyard_worker.oom import OomKills


def group(root: Path, path: str, kills: int) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"low 0\nhigh 0\nmax 12\noom 3\noom_kill {kills}\noom_group_kill 0\n")
    return file


@pytest.mark.parametrize(
    ("membership", "file"),
    [
        ("0::/\n", "memory.events"),
        ("0::/system.slice/worker.service\n", "system.slice/worker.service/memory.events"),
        ("12:memory:/docker/abc\n3:cpu:/docker/abc\n0::/x\n", "memory/docker/abc/memory.oom_control"),
        ("12:memory:/docker/abc\n", "memory/memory.oom_control"),
    ],
)
def test_a_count_that_grew_says_so_once(tmp_path: Path, membership: str, file: str) -> None:
    told = group(tmp_path / "cgroup", file, 4)
    own = tmp_path / "self"
    own.write_text(membership)
    kills = OomKills(tmp_path / "cgroup", own)
    assert not kills.happened(), "what happened before is not about us"
    told.write_text(told.read_text().replace("oom_kill 4", "oom_kill 5"))
    assert kills.happened()
    assert not kills.happened()


def test_where_the_kernel_does_not_tell_nothing_is_claimed(tmp_path: Path) -> None:
    assert not OomKills(tmp_path, tmp_path / "nothing").happened()
    (tmp_path / "self").write_text("0::/\n")
    (tmp_path / "memory.events").write_text("nonsense\noom_kill many\n")
    assert not OomKills(tmp_path, tmp_path / "self").happened()
