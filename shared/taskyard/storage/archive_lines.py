"""The format of an archive of tasks: JSON Lines, compressed by gzip.

    {"line": "archive", "format": 1, "archive_id": ..., "task_id": ...}       the first line
    {"line": "task", "id": ..., "name": ..., "state": ..., "params": ..., ...}
    {"line": "attempt", "task_id": ..., "attempt": 1, "outcome": ..., "traceback": ..., ...}
    {"line": "event", "task_id": ..., "at": ..., "kind": "log", "data": ..., ...}

Attempts and events follow their task, not at once: tasks come in groups. A line for each of them, so that neither side
ever holds a task with thousands of events in memory. Secrets are masked before they are written.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, cast
from uuid import UUID

import orjson

from ..catalogue.secrets import has_mark, masked
from .interface import Writer

FORMAT = 1
# A task has 256 KiB of parameters and as much of a result; escapes may make six bytes of one.
MAX_LINE_BYTES = 16 * 1024**2
_NAME_OF_KIND = b'{"line":"'


class ArchiveDamaged(Exception):
    """The file is no archive, is cut off, or was changed."""


class ArchiveWriter:
    """Writes lines. Values of `json` columns are given as JSON text, and stored as it is."""

    def __init__(self, file: gzip.GzipFile, json: frozenset[str]) -> None:
        self._file = file
        self._json = json

    def write(self, kind: str, values: Mapping[Any, Any]) -> None:
        shown = {name: _stored(value) if name in self._json else value for name, value in values.items()}
        self._file.write(orjson.dumps({"line": kind, **shown}, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))


@contextmanager
def writing(storage_writer: Writer, archive_id: UUID, task_id: UUID, json: frozenset[str]) -> Iterator[ArchiveWriter]:
    """A writer of lines; the file is complete after the block. Raises StorageUnavailable."""
    # The same tasks give the same bytes: no name, no time.
    with gzip.GzipFile(filename="", mode="wb", fileobj=cast(IO[bytes], _Sink(storage_writer)), mtime=0) as file:
        lines = ArchiveWriter(file, json)
        lines.write("archive", {"format": FORMAT, "archive_id": archive_id, "task_id": task_id})
        yield lines


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines behind the first, each ending with a line feed. Raises ArchiveDamaged, StorageUnavailable."""
    with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        lines = _lines(unpacked)
        first = next(lines, b"")
        if not first.startswith(b'{"line":"archive","format":1,'):
            raise ArchiveDamaged("this is no archive of tasks, or one of a later release")
        yield from lines


def kind_of(line: bytes) -> str:
    """Without parsing the line. Raises ArchiveDamaged."""
    end = line.find(b'"', len(_NAME_OF_KIND), len(_NAME_OF_KIND) + 20)
    if not line.startswith(_NAME_OF_KIND) or end < 0:
        raise ArchiveDamaged("a line says not what it is")
    return line[len(_NAME_OF_KIND) : end].decode("ascii", "replace")


def values_of(line: bytes) -> dict[str, Any]:
    """Raises ArchiveDamaged."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as e:
        raise ArchiveDamaged("a line is no JSON") from e
    if not isinstance(found, dict):
        raise ArchiveDamaged("a line is no object")
    return found


def _lines(unpacked: gzip.GzipFile) -> Iterator[bytes]:
    try:
        while line := unpacked.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n"):
                raise ArchiveDamaged("a line has no end")
            yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise ArchiveDamaged(str(e)) from e


def _stored(text: str | None) -> orjson.Fragment | None:
    if text is None:
        return None
    raw = text.encode()
    return orjson.Fragment(orjson.dumps(masked(orjson.loads(raw))) if has_mark(raw) else raw)


class _Sink:
    """What gzip needs of a file."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, data: bytes) -> int:
        return self._writer.write(bytes(data))

    def flush(self) -> None: ...
