"""Metrics of several processes in memory-mapped files, combined by the process that serves them."""

from __future__ import annotations

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


def shared_directory() -> Path:
    """A new, empty directory for the files; in a memory file system where there is one.

    Directories of dead supervisors are removed: a supervisor ended by `kill -9` cannot do it.
    """
    shm = Path("/dev/shm")  # noqa: S108 the system's memory file system; mkdtemp makes the name
    base = shm if os.access(shm, os.W_OK) else Path(tempfile.gettempdir())
    for left in base.glob(f"{_STEM}*"):
        pid = left.name.removeprefix(_STEM).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and Path("/proc").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_STEM}{os.getpid()}-", dir=base))


def remove_directory(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


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
