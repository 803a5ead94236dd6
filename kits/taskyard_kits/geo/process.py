"""Rasters from strangers' images: each is made in a process of its own (`converter.py`), with bounded memory."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from taskyard.domain.errors import TaskError
from taskyard_kits import confined
from taskyard_kits.confined import Check, Died, Program

MIB = 1024**2
# What a converter may take beside what it has at its start: an image of `source.HELD_BYTES`, GDAL's cache, two strips.
CONVERTER_BYTES = 448 * MIB
# Of it and of the process that starts it, with their libraries: 95 and 110 MiB were seen.
_OWN_BYTES = 256 * MIB
# At one time in a process whose memory nothing limits.
_UNLIMITED = 2
_LOOK_SECONDS = 0.2
log = logging.getLogger(__name__)
_CONVERTER = f"{__package__}.converter"
# All that GDAL and PROJ read. No file beside the image is looked at, none is written beside the raster, no driver is
# loaded from elsewhere, and nothing is asked for on the network.
_ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_CACHEMAX": "16",
    "GDAL_NUM_THREADS": "1",
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",
    # libjpeg goes on with grey where data are damaged; without this only a JPEG that was cut off is an error.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",
    "PROJ_NETWORK": "OFF",
    "OPENBLAS_NUM_THREADS": "1",
    # One arena of malloc's: what one thread frees, another one of GDAL's takes.
    "MALLOC_ARENA_MAX": "1",
}

# With another disk, or with fewer files on it, it may fit. All other reasons lie in the image or in what was asked for.
_RETRIED = {"no_room_for_raster", "raster_incomplete"}


class Places:
    """For so many converters at one time, in a process that may have `memory` bytes in all (None: no limit)."""

    def __init__(self, memory: int | None) -> None:
        room = _UNLIMITED * CONVERTER_BYTES if memory is None else max(0, memory - _OWN_BYTES)
        self.converter_bytes = min(CONVERTER_BYTES, room)
        self._free = threading.Semaphore(max(1, room // CONVERTER_BYTES))

    @contextmanager
    def taken(self, check: Check) -> Iterator[None]:
        while not self._free.acquire(timeout=_LOOK_SECONDS):
            check()
        try:
            yield
        finally:
            self._free.release()


def places_of(memory: int | None) -> Places:
    """Those of this process."""
    with _making:
        return _places(memory)


_making = threading.Lock()  # two threads that asked at once would get some each
_places = cache(Places)


@contextmanager
def started(file: BinaryIO, directory: Path, memory: int, check: Check) -> Iterator[Converter]:
    """A converter of the image in `file`, which has a descriptor; killed at the end of the block. `check` is called a
    few times a second and ends it by what it raises."""
    with confined.started(
        _CONVERTER, directory, memory, file=file, check=check, environment=_ENVIRONMENT, directory=directory
    ) as program:
        yield Converter(program)


class Converter:
    """A process that makes one raster."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def tell(self, line: str) -> None:
        self.program.tell(line)

    def answer(self) -> dict[str, Any]:
        """Its next line. Raises TaskError where it refused the image or died of it, and RuntimeError where it was
        killed."""
        try:
            answer = self.program.answer()
        except Died as death:
            raise _error(death.code) from death
        if (code := answer.get("error")) is not None:
            if reason := answer.get("reason"):
                log.warning("a raster was not made: %s: %r", code, reason)
            raise TaskError(code, retryable=code in _RETRIED, **answer["values"])
        return answer


def _error(code: int) -> Exception:
    if code >= 0:  # it could not so much as begin
        return RuntimeError(f"the process that makes the raster ended with exit code {code}")
    if code == -signal.SIGXCPU:
        return TaskError("raster_takes_too_long", retryable=False)
    return TaskError("image_damaged", retryable=False)
