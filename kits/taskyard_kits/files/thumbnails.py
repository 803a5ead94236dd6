"""Thumbnails from strangers' images: each is decoded in a process of its own (`decoder.py`), which gets as much memory
as the image needs, or none."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from PIL import Image

from taskyard.domain.errors import TaskError

from .decoder import FORMATS
from .needs import HEADER_BYTES, MAX_PIXELS, MIB, OWN_BYTES

# What all decoders of a worker's process may have together where nothing limits its memory: enough for a WebP of
# MAX_PIXELS, of all common images the one that needs most.
UNLIMITED_BYTES = 1200 * MIB
# Of a process whose memory is limited, this is its own: 95 MiB were seen.
WORKER_BYTES = 128 * MIB
_LOOK_SECONDS = 0.2
_PIECE_BYTES = 64 * 1024
_SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Thumbnail:
    content: bytes
    content_type: str
    suffix: str
    width: int
    height: int


class Memory:
    """So many bytes for all decoders of a process."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, check: Check) -> Iterator[None]:
        """One thread at a time takes, first for a look at the header and then for the image. So whoever waits for
        memory waits for decoders that have all they need."""
        while not self._turn.acquire(timeout=_LOOK_SECONDS):
            check()
        try:
            yield
        finally:
            self._turn.release()

    def take(self, size: int, check: Check, *, beside: int = 0) -> int:
        """In one's turn; `beside`: what one has already. Raises TaskError where there is not as much in all."""
        if beside + size > self._total:
            raise self.refusal()
        with self._changed:
            while self._free < size:
                self._changed.wait(_LOOK_SECONDS)
                check()
            self._free -= size
        return size

    def give_back(self, size: int) -> None:
        with self._changed:
            self._free += size
            self._changed.notify_all()

    def refusal(self) -> TaskError:
        return TaskError("image_needs_memory", retryable=False, limit=self._total // MIB)


def memory_of(process_bytes: int | None) -> Memory:
    """The one of this process, which may have `process_bytes` of memory in all (None: as much as there is)."""
    with _making:
        return _memory(UNLIMITED_BYTES if process_bytes is None else max(0, process_bytes - WORKER_BYTES))


_making = threading.Lock()  # two threads that asked at once would get one each
_memory = cache(Memory)


def render(file: BinaryIO, width: int, height: int, memory: Memory, check: Check = lambda: None) -> Thumbnail:
    """A copy of the image in `file`, which has a descriptor, that fits into width x height: upright, in sRGB, without
    metadata, never enlarged.

    JPEG and WebP stay what they are, everything else becomes PNG; transparency is kept. Of an animation or a document
    of several pages: the first. `check` is called a few times a second and ends it by what it raises.

    Raises TaskError `image_unsupported`, `image_too_large`, `image_needs_memory`, `image_damaged`; OSError where the
    file cannot be read.
    """
    taken = 0
    try:
        with ExitStack() as process:
            with memory.turn(check):
                taken += memory.take(OWN_BYTES + HEADER_BYTES, check)
                decoder = process.enter_context(_started(file, width, height, check))
                needed = _checked(decoder.answer(), memory)["needs"]
                taken += memory.take(needed - taken, check, beside=taken)
            decoder.go_on()
            made = _checked(decoder.answer(), memory)
            content = decoder.rest()
    finally:
        memory.give_back(taken)
    kind = made["kind"]
    return Thumbnail(content, Image.MIME[kind], _SUFFIX[kind], made["width"], made["height"])


def size_of(file: BinaryIO) -> tuple[int, int]:
    """Width and height of an image of ours."""
    with Image.open(file, formats=FORMATS) as image:
        return image.size


def name_of(source: str, thumbnail: Thumbnail) -> str:
    """`photo.jpg` becomes `photo_256x171.jpg`; of a path only the last part counts."""
    last = PurePosixPath(source.replace("\\", "/")).name
    stem = "".join(c for c in PurePosixPath(last).stem if c.isprintable()).strip(". ")[:150]
    return f"{stem or 'image'}_{thumbnail.width}x{thumbnail.height}.{thumbnail.suffix}"


def _checked(answer: dict[str, Any], memory: Memory) -> dict[str, Any]:
    match answer:
        case {"error": "unreadable", "errno": number, "reason": reason}:
            raise OSError(number, reason)
        case {"error": "image_too_large"}:
            raise TaskError("image_too_large", retryable=False, limit=MAX_PIXELS // 1_000_000)
        case {"error": "image_needs_memory"}:
            raise memory.refusal()
        case {"error": code}:
            raise TaskError(code, retryable=False)
    return answer


@contextmanager
def _started(file: BinaryIO, width: int, height: int, check: Check) -> Iterator[_Decoder]:
    command = [sys.executable, "-I", "-m", f"{__package__}.decoder", *map(str, (file.fileno(), width, height))]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0, pass_fds=[file.fileno()], env={}
    ) as process:
        try:
            yield _Decoder(process, check)
        finally:
            process.kill()


class _Decoder:
    def __init__(self, process: subprocess.Popen[bytes], check: Check) -> None:
        self._process = process
        self._check = check
        self._read = bytearray()
        self._readable = select.poll()
        assert process.stdout is not None
        self._readable.register(process.stdout, select.POLLIN)

    def answer(self) -> dict[str, Any]:
        """Its next line. Raises TaskError where it died of the image, and RuntimeError where it was killed."""
        while b"\n" not in self._read:
            if not self._more():
                code = self._process.wait()
                if code == -signal.SIGKILL:
                    raise RuntimeError("the process that decodes the image was killed")
                raise TaskError("image_damaged", retryable=False)
        line, _, rest = self._read.partition(b"\n")
        self._read[:] = rest
        answer: dict[str, Any] = json.loads(line)
        return answer

    def go_on(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which its answer tells
            self._process.stdin.write(b"\n")

    def rest(self) -> bytes:
        while self._more():
            pass
        return bytes(self._read)

    def _more(self) -> bool:
        assert self._process.stdout is not None
        while not self._readable.poll(_LOOK_SECONDS * 1000):
            self._check()
        piece = self._process.stdout.read(_PIECE_BYTES)
        self._read += piece or b""
        return bool(piece)
