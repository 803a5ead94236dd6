"""Processes that read strangers' files end with the process that started them, also when that is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

# The file is a pipe that nothing more comes from, and that the program itself could write to: it reads on for ever.
_PARENT = """
import array, fcntl, os, sys, termios, time
from taskyard_kits import confined
os.mkfifo("pipe")
read = os.open("pipe", os.O_RDWR)
os.write(read, b"begun")
with confined.started(*sys.argv[1:], file=open(read, "rb", 0), check=lambda: None) as program:
    left = array.array("i", [1])
    while left[0]:
        time.sleep(0.05)
        fcntl.ioctl(read, termios.FIONREAD, left)
    print(program.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    "program",
    [
        ["taskyard_kits.files.decoder", "10", "10"],
        ["taskyard_kits.files.documents.converter", "1000000000", "html", ".", "a4", "en", "title"],
    ],
    ids=["images", "documents"],
)
def test_a_process_ends_with_the_worker_that_is_killed(program: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PARENT, *program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert not alive
