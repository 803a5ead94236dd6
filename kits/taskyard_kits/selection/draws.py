"""Starts the process that draws a panel (`drawing.py`), passes on what it tells, and sees to its end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from taskyard import TaskContext, TaskError

from .declarations import Algorithm, QuotaMet, SelectionParams
from .settings import SelectionSettings
from .stages import DRAWING
from .tables import MIB, Table

_LOOK_SECONDS = 0.2
_PIECE_BYTES = 64 * 1024
# Of a process whose memory is limited, this is the worker's own, with the table of 16 MiB that it has read.
_WORKER_BYTES = 384 * MIB
# With less, the libraries cannot be imported.
_LEAST_BYTES = 160 * MIB
# HOME: gspread, which the library imports, asks for it, and the account of a container has no other. One thread each,
# so that a draw does not depend on how many processors there are.
_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "PYTHONHASHSEED": "0",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
}
# Where Gurobi's licence is.
_PASSED_ON = ("GRB_LICENSE_FILE",)


@dataclass(frozen=True, slots=True)
class Draw:
    """A panel. People are told by the number of their row, from 0, and columns by theirs."""

    selected: list[int]
    remaining: list[int]
    columns: list[int]
    algorithm: Algorithm
    quotas: list[QuotaMet]
    report: list[str]
    whole_report: str


def draw(people: Table, quotas: Table, params: SelectionParams, seed: int, context: TaskContext) -> Draw:
    """Draws a panel; its progress and its log become the task's. A cancellation and a limit end the process.

    Raises TaskError.
    """
    memory = _memory(context)
    request = {
        "people": asdict(people),
        "quotas": asdict(quotas),
        "params": params.model_dump(mode="json"),
        "seed": seed,
    }
    # A cancellation or a limit is raised by `check_cancelled`, and never between starting a process and seeing to its
    # end.
    with context.shield, tempfile.TemporaryFile(dir=context.temp_dir) as file:
        file.write(json.dumps(request, ensure_ascii=False).encode())
        file.seek(0)
        del request
        with _started(file, memory) as (process, answers):
            found = _followed(process, answers, context, memory)
    return Draw(**{**found, "quotas": [QuotaMet(**quota) for quota in found["quotas"]]})


def _memory(context: TaskContext) -> int:
    settings: SelectionSettings = context.settings
    most = settings.selection_memory_mib * MIB
    memory = most if context.memory_bytes is None else min(most, context.memory_bytes - _WORKER_BYTES)
    if memory < _LEAST_BYTES:
        raise TaskError("draw_needs_memory", limit=max(0, memory) // MIB)
    return memory


@contextmanager
def _started(request: BinaryIO, memory: int) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    # -I would ignore PYTHONHASHSEED: -s and -P are the rest of it.
    reading, writing = os.pipe()
    given = map(str, (writing, os.getpid(), memory))
    command = [sys.executable, "-s", "-P", "-m", f"{__package__}.drawing", *given]
    with os.fdopen(reading, "rb", buffering=0) as answers:
        try:
            process = subprocess.Popen(
                command,
                stdin=request,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[writing],
                env=_ENVIRONMENT | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            )
        finally:
            os.close(writing)
        with process:
            try:
                yield process, answers
            finally:
                process.kill()


def _followed(process: subprocess.Popen[bytes], answers: BinaryIO, context: TaskContext, memory: int) -> dict[str, Any]:
    for answer in _lines(answers, context):
        match answer:
            case {"progress": [share, message]}:
                context.progress(DRAWING.at(share), 100, message)
            case {"log": line}:
                context.log(line)
            case {"drawn": found}:
                return dict(found)
            case {"failed": {"code": code, "values": values, "lines": lines, "traceback": told}}:
                raise _failure(code, values, lines, memory, context) from RuntimeError(told)
    # It said nothing at its end: it was killed, or a native library ended it.
    code = process.wait()
    cause = {"phrase": "signal", "signal": _name(-code)} if code < 0 else {"phrase": "exit_code", "code": code}
    raise TaskError("draw_died", cause=cause)


def _lines(answers: BinaryIO, context: TaskContext) -> Iterator[dict[str, Any]]:
    readable = select.poll()
    readable.register(answers, select.POLLIN)
    kept = bytearray()
    while True:
        while not readable.poll(_LOOK_SECONDS * 1000):
            context.check_cancelled()
        piece = answers.read(_PIECE_BYTES)
        if not piece:
            return
        kept += piece
        if b"\n" not in piece:
            continue
        *whole, rest = kept.split(b"\n")
        kept = bytearray(rest)
        for line in whole:
            yield json.loads(line)
        context.check_cancelled()


def _failure(code: str, values: dict[str, Any], lines: list[str], memory: int, context: TaskContext) -> TaskError:
    """All lines of the library stand in the log, and in the value `lines`."""
    for line in lines:
        context.log(line, level="error")
    if code == "draw_needs_memory":
        values = {"limit": memory // MIB}
    return TaskError(code, **values, lines="\n".join(lines))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
