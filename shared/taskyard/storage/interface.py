"""The interface of storages. Keys are opaque; the storage makes them, never a caller."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


class StorageUnavailable(Exception):
    """The storage does not answer, is full or cannot be written; the message says which. `phrase` names the reason
    among the platform's phrases."""

    def __init__(self, message: str = "", *, phrase: str | None = None) -> None:
        super().__init__(message)
        self.phrase = phrase


class ObjectMissing(Exception):
    """No object has this key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A complete object: its key, size in bytes, and SHA-256 in lower-case hex."""

    key: str
    size: int
    sha256: str


class Writer(Protocol):
    """Takes an object in pieces; it cannot be read before `commit`."""

    @property
    def key(self) -> str:
        """Of the object that this will be."""

    def write(self, data: bytes) -> int:
        """Takes all of `data`. Raises StorageUnavailable."""

    def commit(self) -> Stored:
        """Makes the object durable (flushed to disk) and readable. Raises StorageUnavailable."""


class Storage(Protocol):
    @property
    def directory(self) -> Path | None:
        """Where the objects are; None where they are no files of this machine."""

    def writer(self) -> AbstractContextManager[Writer]:
        """A writer; an object that was not committed is discarded after the block. Raises StorageUnavailable."""

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        """The object's bytes from `offset` on. Raises ObjectMissing, StorageUnavailable."""

    def size(self, key: str) -> int:
        """In bytes. Raises ObjectMissing, StorageUnavailable."""

    def delete(self, key: str) -> None:
        """Does nothing where the object does not exist. Raises StorageUnavailable."""

    def check(self) -> None:
        """Writes, reads and removes a small object. Raises StorageUnavailable."""
