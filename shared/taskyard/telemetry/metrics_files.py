"""Metrics of several processes in memory-mapped files, combined by the process that serves them."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Metric, multiprocess
from prometheus_client.registry import Collector
from prometheus_client.values import MultiProcessValue

log = logging.getLogger(__name__)

_STEM = "taskyard-metrics-"
# Descriptors whose locks say that the directories are in use; the kernel lets go of them when this process ends.
_held: dict[Path, int] = {}


def shared_directory() -> Path:
    """A new, empty directory for the files; in a memory file system where there is one.

    Directories of dead supervisors are removed: a supervisor ended by `kill -9` cannot do it. Each holds a lock on its
    own: containers that share this memory do not see each other's processes.
    """
    shm = Path("/dev/shm")  # noqa: S108 the system's memory file system; mkdtemp makes the name
    base = shm if os.access(shm, os.W_OK) else Path(tempfile.gettempdir())
    for left in base.glob(f"{_STEM}*"):
        pid = left.name.removeprefix(_STEM).partition("-")[0]
        is_away = pid.isdigit() and not Path("/proc", pid).exists() and Path("/proc").exists()
        if is_away and (lock := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    directory = Path(tempfile.mkdtemp(prefix=f"{_STEM}{os.getpid()}-", dir=base))
    if (lock := _locked(directory)) is not None:
        _held[directory] = lock
    return directory


def remove_directory(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    if (lock := _held.pop(directory, None)) is not None:
        os.close(lock)


def _locked(directory: Path) -> int | None:
    """A descriptor with the lock of the directory; None where another process has it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # removed meanwhile, or another user's
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """The files of this process: those of its name, in a directory of the whole worker."""

    directory: Path
    process: str

    def __post_init__(self) -> None:
        # The name becomes part of file names, which prometheus_client splits at underscores.
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.process):
            raise ValueError(f"{self.process!r} is no name for a process: small letters, digits and hyphens")

    def value_class(self) -> Any:
        name = self.process
        make: Any = MultiProcessValue
        return make(process_identifier=lambda: name)

    def forget(self, process: str) -> None:
        mark: Any = multiprocess.mark_process_dead
        mark(process, str(self.directory))


class SharedCollector(Collector):
    """The sum over all files; an infinite gauge has no value and is shown as 0."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        merge: Any = multiprocess.MultiProcessCollector.merge
        metrics: list[Metric] = list(merge([str(path) for path in self._files()]))
        for metric in metrics:
            if metric.type == "gauge":
                metric.samples = [
                    sample._replace(value=0.0) if math.isinf(sample.value) else sample for sample in metric.samples
                ]
        return sorted(metrics, key=lambda metric: metric.name)

    def _files(self) -> Iterable[Path]:
        for path in sorted(self._directory.glob("*.db")):
            try:
                # A process makes its file empty and then gives it a size; reading in between would fail.
                if path.stat().st_size > 0:
                    yield path
            except FileNotFoundError:
                continue
