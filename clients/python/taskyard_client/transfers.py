"""Files on their way: what is uploaded can be read again for a repeat, and a download goes on where it broke."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from .errors import ApiAway
from .models import Item

_CHUNK = 256 * 1024

Source = str | Path | bytes | BinaryIO
Target = str | Path | BinaryIO


class Upload:
    """A path, bytes, or an open binary file, which is read from where it stands."""

    def __init__(self, source: Source) -> None:
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        if isinstance(source, str | Path):
            self._path = Path(source)
        else:
            self._file = io.BytesIO(source) if isinstance(source, bytes) else source
        self.is_repeatable = self._file is None or self._file.seekable()
        self._start = self._file.tell() if self._file is not None and self.is_repeatable else 0

    @property
    def name(self) -> str:
        """The file's own name, where it has one."""
        given = self._path or getattr(self._file, "name", None)
        return Path(given).name if isinstance(given, str | Path) else ""

    @property
    def headers(self) -> dict[str, str]:
        if not self.is_repeatable:
            return {}
        with self._open() as file:
            size = file.seek(0, os.SEEK_END) - self._start
        return {"Content-Length": str(size)}

    def chunks(self) -> Iterator[bytes]:
        with self._open() as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    async def chunks_apart(self) -> AsyncIterator[bytes]:
        """Read in a thread: a slow disk must not hold up the event loop."""
        with self._open() as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if self._path is not None:
            with self._path.open("rb") as file:
                yield file
            return
        assert self._file is not None
        if self.is_repeatable:
            self._file.seek(self._start)
        yield self._file


class Download:
    """The content of `item`, written to `file`."""

    def __init__(self, item: Item, file: BinaryIO) -> None:
        self._item = item
        self._file = file
        self._start = file.tell() if file.seekable() else 0
        self._digest = hashlib.sha256()
        self.done = 0

    def headers(self) -> dict[str, str]:
        found = {"Accept": "*/*"}
        if self.done:
            found |= {"Range": f"bytes={self.done}-", "If-Range": f'"{self._item.sha256}"'}
        return found

    @property
    def is_complete(self) -> bool:
        return self.done >= self._item.size

    def begin(self, *, resumed: bool) -> None:
        """An answer begins: with what is missing, or from the beginning."""
        if not resumed and self.done:
            self._file.seek(self._start)
            self._file.truncate()
            self._digest, self.done = hashlib.sha256(), 0

    def write(self, piece: bytes) -> None:
        """Raises ApiAway for more than was stored: such an answer need not end at all."""
        if self.done + len(piece) > self._item.size:
            raise ApiAway(f"The content of {self._item.item_id} is longer than what was stored.", is_passing=False)
        self._file.write(piece)
        self._digest.update(piece)
        self.done += len(piece)

    def check(self) -> None:
        """Raises ApiAway where this is not what was stored."""
        if self._digest.hexdigest() != self._item.sha256:
            raise ApiAway(f"The content of {self._item.item_id} is not what was stored.", is_passing=False)


@contextmanager
def written(target: Target) -> Iterator[BinaryIO]:
    """The open file; where `target` is a path, the file has its name only once all of it is there."""
    if not isinstance(target, str | Path):
        yield target
        return
    place = Path(target)
    partial = place.with_name(f".{place.name[:200]}.{uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
