"""Processes that read strangers' files for a task, each within limits of its own (`process_limits.py`): what a file
makes the libraries do ends there, and a cancellation or a time limit ends the process."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

_LOOK_SECONDS = 0.2
_PIECE_BYTES = 64 * 1024

Check = Callable[[], None]


class Died(Exception):
    """The process ended before it had said all: of what it had to read. `code`: as `Popen.returncode`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the process that reads the file ended with {code}")
        self.code = code


@contextmanager
def started(
    module: str,
    *arguments: object,
    file: BinaryIO,
    check: Check,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Iterator[Program]:
    """The module as a program, with the descriptor of `file` and the `arguments`; it is killed after the block. It has
    the `environment` and nothing else, and works in the `directory`. `check` is called a few times a second while it is
    waited for, and ends that by what it raises."""
    command = [sys.executable, "-I", "-m", module, *map(str, (file.fileno(), *arguments))]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd=directory,
        pass_fds=[file.fileno()],
        env=environment or {},
    ) as process:
        try:
            yield Program(process, check)
        finally:
            process.kill()


class Program:
    """A conversation: JSON objects, one a line, and bytes behind the last one."""

    def __init__(self, process: subprocess.Popen[bytes], check: Check) -> None:
        self.process = process
        self._check = check
        self._read = bytearray()
        self._readable = select.poll()
        assert process.stdout is not None
        self._readable.register(process.stdout, select.POLLIN)

    def answer(self) -> dict[str, Any]:
        """Its next line. Raises Died, and RuntimeError where it was killed from outside."""
        while b"\n" not in self._read:
            if not self._more():
                raise self.death()
        line, _, rest = self._read.partition(b"\n")
        self._read[:] = rest
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, line: str = "") -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which its answer tells
            self.process.stdin.write(f"{line}\n".encode())

    def rest(self) -> bytes:
        """What follows its last line."""
        while self._more():
            pass
        return bytes(self._read)

    def death(self) -> Exception:
        """What to raise where it ended too soon."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return RuntimeError("the process that reads the file was killed")
        return Died(code)

    def _more(self) -> bool:
        assert self.process.stdout is not None
        while not self._readable.poll(_LOOK_SECONDS * 1000):
            self._check()
        piece = self.process.stdout.read(_PIECE_BYTES)
        self._read += piece or b""
        return bool(piece)
