"""The temporary directories of a worker (taskyard/running/attempt_dirs.py says where they are).

An attempt's is removed at its end by the child, a child's at its end by the supervisor, however it ended. What the end
of a host or of a supervisor leaves is removed by the next worker that starts with the same TEMP_DIR, or by
a task that cleans up: the kernel has let go of the lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import structlog

from taskyard.running.attempt_dirs import ATTEMPTS, LOCK, hold, worker_of
from taskyard.running.scratch import remove_tree

log = structlog.stdlib.get_logger(__name__)

_NEW = ".new"
_LAST_SECONDS = 5.0


class TempDirs:
    """Removing goes on in threads of its own: a large tree must not keep the supervisor from its children."""

    def __init__(self, temp_dir: Path) -> None:
        self._root = temp_dir.absolute() / ATTEMPTS
        self._own = self._root / str(uuid4())
        self._lock: int | None = None
        self._removing: list[threading.Thread] = []

    def open(self) -> None:
        """Where that fails the worker runs on: only tasks that ask for such a directory need it."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # It gets its name when it is held: a sweep would take one that nobody holds for that of a dead worker.
            new = self._own.with_suffix(_NEW)
            self._lock = hold(new, make=True)
            new.rename(self._own.with_suffix(LOCK))
            self._own.mkdir(mode=0o700)
        except OSError as e:
            log.warning("temp_dir_unusable", path=str(self._root), error=str(e))
            return
        self._soon(self._sweep)

    def of_child(self, child: str) -> Path:
        """A new directory for the child's attempts."""
        path = self._own / child
        with suppress(OSError):  # said by `open`; a task that needs it will fail with what is wrong
            path.mkdir(mode=0o700)
        return path

    def child_ended(self, child: str) -> None:
        path = self._own / child
        if path.is_dir():
            self._soon(lambda: remove_tree(path))

    def close(self) -> None:
        for thread in self._removing:
            thread.join(_LAST_SECONDS)
        if self._lock is not None:
            _remove(self._own)
            os.close(self._lock)

    def _soon(self, remove: Callable[[], None]) -> None:
        self._removing = [thread for thread in self._removing if thread.is_alive()]
        thread = threading.Thread(target=remove, name="temp-dirs", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is left: at the worker's end
            return
        self._removing.append(thread)

    def _sweep(self) -> None:
        """Removes what workers left that live no more."""
        for lock in self._root.glob(f"*{LOCK}"):
            if worker_of(lock.name) in {None, self._own.name}:
                continue
            with suppress(OSError):  # another worker holds it, or has removed it meanwhile
                fd = hold(lock, make=False)
                try:
                    is_gone = _remove(lock.with_suffix(""))
                finally:
                    os.close(fd)
                log.info("temp_dir_swept", worker=lock.stem, complete=is_gone)


def _remove(worker: Path) -> bool:
    """A worker's directory, and its lock once the directory is gone: what is left is removed by the next sweep."""
    remove_tree(worker)
    is_gone = not worker.exists()
    if is_gone:
        with suppress(OSError):
            worker.with_suffix(LOCK).unlink()
    return is_gone
