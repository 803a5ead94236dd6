"""Files in a directory of this machine, or on a volume that API and workers share.

    <root>/objects/<two hex digits>/<32 hex digits>    complete objects, never changed once they are there
    <root>/partial/<32 hex digits>                     what is being written

An object appears by `rename`, after its bytes have reached the disk, so readers find all of it or nothing. Every step
uses directory descriptors opened with O_NOFOLLOW, so no link inside the root leads out of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import structlog

from ..domain.failures import PHRASES
from .interface import ObjectMissing, StorageUnavailable, Stored
from .upkeep import LEFTOVER_AGE, Hourly, try_out

log = structlog.stdlib.get_logger(__name__)

_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)
_OBJECTS, _PARTIAL = "objects", "partial"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO in the place of an object would otherwise block its reader for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BUFFER_BYTES = 256 * 1024

# What is wrong, by errno: names of phrases.
PHRASE_OF = {
    errno.ENOSPC: "storage_full",
    errno.EDQUOT: "storage_quota",
    errno.EFBIG: "storage_file_too_large",
    errno.EROFS: "storage_read_only",
    errno.EACCES: "storage_forbidden",
    errno.EPERM: "storage_forbidden",
    errno.ENOENT: "storage_missing",
    errno.ENOTDIR: "storage_not_a_directory",
    errno.EEXIST: "storage_not_a_directory",
    errno.ELOOP: "storage_link",
}


def overlap(one: Path, other: Path) -> bool:
    """Whether they are the same directory, or one is in the other. Links are followed; nothing has to exist."""
    first, second = one.resolve(), other.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


class LocalStorage:
    """Objects below `root`, which is made at the first write. Safe for many threads and processes.

    `now` is the clock (seconds since the epoch) that decides when the files of interrupted writers are old.
    """

    def __init__(self, root: Path, *, now: Callable[[], float] = time.time) -> None:
        self._root = root
        self._now = now
        self._hourly = Hourly(self.sweep)

    @property
    def directory(self) -> Path:
        return self._root

    @contextmanager
    def writer(self) -> Iterator[LocalWriter]:
        self._hourly.turn()
        with self._directory(_PARTIAL, make=True) as partial:
            writer = LocalWriter(self, partial, secrets.token_hex(16))
            try:
                yield writer
            finally:
                writer.discard()

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        fd = self._open_object(key)
        try:
            if offset:
                os.lseek(fd, offset, os.SEEK_SET)
            return os.fdopen(fd, "rb")
        except BaseException:
            os.close(fd)
            raise

    def size(self, key: str) -> int:
        fd = self._open_object(key)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def delete(self, key: str) -> None:
        with suppress(ObjectMissing), self._shard(key) as shard, _translated(missing=key):
            os.unlink(key, dir_fd=shard)

    def check(self) -> None:
        try_out(self)

    def sweep(self) -> int:
        """Removes the files of interrupted writers; returns how many. Raises StorageUnavailable."""
        removed = 0
        oldest = self._now() - LEFTOVER_AGE.total_seconds()
        with self._directory(_PARTIAL, make=True) as partial, _translated():
            for name in os.listdir(partial):  # noqa: PTH208 - a descriptor, not a path
                # Removed meanwhile: by a sweep of another process, or because the writer has finished.
                with suppress(FileNotFoundError):
                    if os.stat(name, dir_fd=partial, follow_symlinks=False).st_mtime < oldest:
                        os.unlink(name, dir_fd=partial)
                        removed += 1
        if removed:
            log.info("storage_swept", files=removed)
        return removed

    def _publish(self, partial: int, key: str) -> None:
        with self._shard(key, make=True) as shard:
            os.rename(key, key, src_dir_fd=partial, dst_dir_fd=shard)
            try:
                os.fsync(shard)  # the name is durable only with its directory
            except BaseException:
                os.unlink(key, dir_fd=shard)
                raise

    def _open_object(self, key: str) -> int:
        with self._shard(key) as shard, _translated(missing=key):
            fd = os.open(key, _READ, dir_fd=shard)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ObjectMissing(key)
        return fd

    @contextmanager
    def _shard(self, key: str, *, make: bool = False) -> Iterator[int]:
        if not _KEY.fullmatch(key):
            raise ObjectMissing("not a key of this storage")
        with self._directory(_OBJECTS, key[:2], make=make, missing=None if make else key) as shard:
            yield shard

    @contextmanager
    def _directory(self, *names: str, make: bool, missing: str | None = None) -> Iterator[int]:
        with _translated(missing=missing):
            fd = self._open_directory(names, make=make)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_directory(self, names: tuple[str, ...], *, make: bool) -> int:
        if make:
            self._root.mkdir(parents=True, exist_ok=True)
        # The root itself may be a link, as the operator chooses.
        fd = os.open(self._root, _DIRECTORY & ~os.O_NOFOLLOW)
        for name in names:
            above = fd
            try:
                fd = _enter(above, name, make=make)
            finally:
                os.close(above)
        return fd


class LocalWriter:
    def __init__(self, storage: LocalStorage, partial: int, key: str) -> None:
        self._storage = storage
        self._partial = partial
        self.key = key
        self._size = 0
        self._digest = hashlib.sha256()
        with _translated():
            fd = os.open(key, _CREATE, 0o660, dir_fd=partial)
        self._file = os.fdopen(fd, "wb", buffering=_BUFFER_BYTES)
        self._committed = False

    def write(self, data: bytes) -> int:
        with _translated():
            self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
        return len(data)

    def commit(self) -> Stored:
        with _translated():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._storage._publish(self._partial, self.key)
        self._committed = True
        return Stored(self.key, self._size, self._digest.hexdigest())

    def discard(self) -> None:
        """Removes the object unless it was committed."""
        if self._committed:
            return
        # Closing writes the buffer again, and fails again on a full disk.
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            os.unlink(self.key, dir_fd=self._partial)


def _enter(above: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another writer made it
        os.mkdir(name, 0o770, dir_fd=above)
        os.fsync(above)
    return os.open(name, _DIRECTORY, dir_fd=above)


@contextmanager
def _translated(*, missing: str | None = None) -> Iterator[None]:
    """Translates OSError. `missing`: the object that does not exist where a file is not found."""
    try:
        yield
    except OSError as e:
        if missing is not None and e.errno == errno.ENOENT:
            raise ObjectMissing(missing) from None
        log.warning("storage_failed", error=str(e))
        phrase = PHRASE_OF.get(e.errno or 0)
        words = PHRASES[phrase] if phrase else f"the storage failed: {e.strerror or type(e).__name__}"
        raise StorageUnavailable(words, phrase=phrase) from e
