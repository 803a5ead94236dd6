"""A child that the kernel killed for want of memory is told apart, where the kernel counts that; and what a child may
have is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskyard_worker.memory import OomKills, allowance, prefer_this_process, resident_bytes, used_together
from taskyard_worker.programs import family


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
def test_each_kill_that_the_kernel_counts_is_told_once(tmp_path: Path, membership: str, file: str) -> None:
    told = group(tmp_path / "cgroup", file, 4)
    own = tmp_path / "self"
    own.write_text(membership)
    kills = OomKills(tmp_path / "cgroup", own)
    assert not kills.happened_lately(), "what happened before is not about us"
    told.write_text(told.read_text().replace("oom_kill 4", "oom_kill 5"))
    assert kills.happened_lately()
    assert not kills.happened_lately()


def test_where_the_kernel_keeps_no_count_there_is_no_kill(tmp_path: Path) -> None:
    assert not OomKills(tmp_path, tmp_path / "nothing").happened_lately()
    (tmp_path / "self").write_text("0::/\n")
    (tmp_path / "memory.events").write_text("nonsense\noom_kill many\n")
    assert not OomKills(tmp_path, tmp_path / "self").happened_lately()


def test_an_old_kill_is_not_the_cause_of_a_death_now(tmp_path: Path) -> None:
    file = group(tmp_path / "cgroup", "memory.events", 4)
    own = tmp_path / "self"
    own.write_text("0::/\n")
    now = [0.0]
    kills = OomKills(tmp_path / "cgroup", own, clock=lambda: now[0])
    kills.look()
    file.write_text(file.read_text().replace("oom_kill 4", "oom_kill 5"))  # a child of a task, say
    for now[0] in (2.5, 5.0):
        kills.look()
    assert not kills.happened_lately()
    file.write_text(file.read_text().replace("oom_kill 5", "oom_kill 6"))
    now[0] = 7.5
    kills.look()
    assert kills.happened_lately(), "a look just before does not hide it"


def test_a_child_asks_to_be_ended_first_where_memory_runs_out(tmp_path: Path) -> None:
    file = tmp_path / "oom_score_adj"
    prefer_this_process(file)
    assert 0 < int(file.read_text()) <= 1000
    prefer_this_process(tmp_path / "no" / "such")  # elsewhere than on Linux


@pytest.mark.parametrize(
    ("membership", "files", "limit_mb", "wanted_mb"),
    [
        ("0::/\n", {}, 0, None),
        ("0::/\n", {"memory.max": "max\n"}, 0, None),
        ("0::/\n", {"memory.max": "max\n"}, 300, 300),
        ("0::/\n", {"memory.max": f"{1024 << 20}\n"}, 0, 512),
        ("0::/\n", {"memory.max": f"{1024 << 20}\n"}, 300, 300),
        ("0::/\n", {"memory.max": f"{512 << 20}\n"}, 300, 256),
        ("0::/a/b\n", {"memory.max": f"{2048 << 20}\n", "a/b/memory.max": f"{512 << 20}\n"}, 0, 256),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": f"{512 << 20}\n"}, 0, 256),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, 0, None),
        ("0::/\n", {"memory.max": "nonsense"}, 0, None),
    ],
)
def test_a_child_may_have_its_limit_and_its_part_of_the_container(
    tmp_path: Path, membership: str, files: dict[str, str], limit_mb: int, wanted_mb: int | None
) -> None:
    own = tmp_path / "self"
    own.write_text(membership)
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    wanted = None if wanted_mb is None else wanted_mb << 20
    assert allowance(limit_mb, 2, tmp_path / "cgroup", own) == wanted


def test_each_kill_is_told_to_who_counts_them(tmp_path: Path) -> None:
    file = group(tmp_path / "cgroup", "memory.events", 4)
    own = tmp_path / "self"
    own.write_text("0::/\n")
    now, told = [10.0], list[int]()
    kills = OomKills(tmp_path / "cgroup", own, clock=lambda: now[0], on_kills=told.append)
    kills.look()
    assert told == [], "those before the start are not ours"
    file.write_text(file.read_text().replace("oom_kill 4", "oom_kill 6"))
    kills.happened_lately()
    file.write_text(file.read_text().replace("oom_kill 6", "oom_kill 7"))
    now[0] = 20.0
    kills.look()
    kills.look()
    assert told == [2, 1]


def test_what_processes_share_counts_once() -> None:
    alone = used_together([os.getpid()])
    assert alone == pytest.approx(resident_bytes(os.getpid()), rel=0.05)
    ballast = 64 << 20
    code = f"x = bytearray({ballast}); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert program.pid in family()
        together = used_together([os.getpid(), program.pid])
        assert alone + ballast < together < alone + resident_bytes(program.pid)
        program.communicate(b"\n")
    assert used_together([program.pid]) == 0, "it has ended"


_FORKED = """
import os, signal
from taskyard_worker.memory import resident_bytes, used_together

ballast = bytearray(b"x") * (64 << 20)
before = used_together([os.getpid()])
child = os.fork()
if child == 0:
    signal.pause()
print(used_together([os.getpid(), child]) - before, resident_bytes(os.getpid()))
os.kill(child, signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only")
def test_what_a_forked_process_shares_counts_once() -> None:
    said = subprocess.run([sys.executable, "-c", _FORKED], capture_output=True, text=True, check=True).stdout
    more, alone = map(int, said.split())
    assert more < (8 << 20) < (64 << 20) < alone
