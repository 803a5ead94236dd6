"""What both storages do beside keeping objects: they remove what interrupted writers left, and try themselves out."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from ..domain.failures import PHRASES
from .interface import ObjectMissing, Storage, StorageUnavailable

log = structlog.stdlib.get_logger(__name__)

# An active writer is never a day old.
LEFTOVER_AGE = timedelta(days=1)
_SWEEP_EVERY_SECONDS = 3600.0


class Hourly:
    """Calls `sweep` at the first turn and once an hour: writers clean up. Safe for many threads.

    A sweep that fails is logged, and the writer goes on: credentials may write without being allowed to list, and what
    lies in the place of leftovers may be of another user.
    """

    def __init__(self, sweep: Callable[[], object]) -> None:
        self._sweep = sweep
        self._at = float("-inf")
        self._sweeping = threading.Lock()

    def turn(self) -> None:
        if not self._sweeping.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._at >= _SWEEP_EVERY_SECONDS:
                self._at = time.monotonic()
                self._sweep()
        except StorageUnavailable as e:
            log.warning("storage_not_swept", error=str(e))
        finally:
            self._sweeping.release()


def try_out(storage: Storage) -> None:
    """Writes, reads and removes a small object. Raises StorageUnavailable."""
    sample = secrets.token_bytes(32)
    with storage.writer() as writer:
        writer.write(sample)
        stored = writer.commit()
    try:
        with storage.open(stored.key) as file:
            found = file.read()
    except ObjectMissing:
        found = b""
    finally:
        storage.delete(stored.key)
    if found != sample:
        raise StorageUnavailable(PHRASES["storage_wrong"], phrase="storage_wrong")
