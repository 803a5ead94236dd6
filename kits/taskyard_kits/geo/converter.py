"""Makes one raster, in a process of its own that `process.py` starts: `converter FD DIRECTORY MEMORY`.

The image is the descriptor FD; all that is written lies in DIRECTORY. The kernel holds the process to MEMORY bytes more
than it has at its start (RLIMIT_DATA), to files of a size (RLIMIT_FSIZE), and to a time of the processor (RLIMIT_CPU);
and it ends it when the thread that started it is gone.

On standard input, a line of JSON: what was asked for. On standard output, JSON objects, one a line: `{"placed": {…}}`,
after which it waits for a line on standard input; `{"done": share}`, any number of times; and `{"made": true}`, when
the raster lies in DIRECTORY. At any time instead: `{"error": code, "values": {…}}`, with a `reason` for the log where
GDAL gave one.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

from rasterio._err import CPLE_BaseError, CPLE_OutOfMemoryError
from rasterio.errors import RasterioError

from taskyard_kits import process_limits as limits

from . import headers, raster, source
from .names import RASTER
from .placement import Placement, placed, same_place
from .refusals import Refused
from .strips import Strips

_TILES = "tiles.tif"
# Of the processor. A raster of the largest size took 100; the task's own limit comes first.
_SECONDS = 900
# Tiles and their directory, of an image of the largest size.
_FILE_BYTES = source.MAX_DECODED_BYTES * 3 // 2
_REASON_LENGTH = 500
# With less on the disk it is the disk that failed, and not the image.
_FREE_BYTES = 64 * 1024**2


def main(fd: int, directory: Path, memory: int) -> None:
    _confine(memory)
    warnings.simplefilter("ignore")
    try:
        wish = json.loads(sys.stdin.readline())
        with open(fd, "rb", closefd=False) as file:
            driver = source.driver_of(file)
            with source.opened(f"/dev/fd/{fd}", driver) as dataset:
                source.check_head(file, driver, dataset)
                is_own = not wish["control_points"] and not wish["bounds"]
                orientation = headers.UPRIGHT if is_own else headers.orientation_of(file, driver)
                strips = Strips(dataset, orientation)
                _make(wish, dataset, strips, directory)
    except Exception as e:  # noqa: BLE001 - the libraries tell of damaged data in many ways
        limits.say(**_error(e))


def _make(wish: dict[str, Any], dataset: Any, strips: Strips, directory: Path) -> None:
    placement = placed(wish, dataset, strips.width, strips.height)
    if wish["is_raster"] and not same_place(placement, dataset):
        raise Refused("already_converted")
    if not wish["is_raster"]:
        source.check_decoded(strips.tile_bytes(dataset.count if _is_copied(placement, strips) else strips.bands.count))
    limits.say(placed=_described(placement, strips))
    if wish["is_raster"] or not sys.stdin.readline():
        return
    try:
        _write(placement, dataset, strips, directory)
    except (RasterioError, CPLE_BaseError, OSError) as e:
        raise write_error(e, directory) from e
    limits.say(made=True)


def _is_copied(placement: Placement, strips: Strips) -> bool:
    """Whether the bands of the file become those of the raster as they are."""
    return placement.is_own and not strips.bands.is_negative


def _write(placement: Placement, dataset: Any, strips: Strips, directory: Path) -> None:
    tiles, made = directory / _TILES, directory / RASTER
    if _is_copied(placement, strips):
        with source.reading():
            total = raster.total_of(dataset)
        raster.copy_tiles(tiles, dataset, strips.tile)
    else:
        total = raster.write_tiles(tiles, strips, placement, lambda share: limits.say(done=share))
    with source.reopened(tiles) as placed_tiles:
        raster.write_cog(placed_tiles, made)
    tiles.unlink()
    # A disk that was full for a moment may have left a hole, of which GDAL tells nothing.
    with source.reopened(made) as written:
        if raster.total_of(written) != total:
            raise Refused("raster_incomplete", reason="the raster's pixels are not those of the image")


def _described(placement: Placement, strips: Strips) -> dict[str, Any]:
    transform, authority = placement.transform, placement.crs.to_authority()
    corners = [transform @ (col, row) for col in (0, strips.width) for row in (0, strips.height)]
    xs, ys = zip(*corners, strict=True)
    return {
        "width": strips.width,
        "height": strips.height,
        "crs": ":".join(authority) if authority else None,
        "transform": list(transform[:6]),
        "bounds": [min(xs), min(ys), max(xs), max(ys)],
        "residual_pixels": placement.residual_pixels,
    }


def _confine(memory: int) -> None:
    limits.begin()
    limits.limit(memory, _SECONDS)
    limits.lower(resource.RLIMIT_FSIZE, _FILE_BYTES)


def write_error(error: Exception, directory: Path) -> Refused:
    """Why the raster was not written, though the image could be read."""
    if _tells_of_memory(error):
        return Refused("image_needs_memory")
    disk = os.statvfs(directory)
    is_full = disk.f_bavail * disk.f_frsize < _FREE_BYTES
    reason = str(error.__cause__ or error)[:_REASON_LENGTH]
    return Refused("no_room_for_raster" if is_full else "raster_incomplete", reason=reason)


def _error(error: Exception) -> dict[str, Any]:
    if _tells_of_memory(error):
        return {"error": "image_needs_memory", "values": {}}
    if isinstance(error, Refused):
        return {"error": error.code, "values": error.values, "reason": error.reason}
    return {"error": "image_damaged", "values": {}}


def _tells_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError | CPLE_OutOfMemoryError) or "Insufficient memory" in str(error):  # libjpeg's
            return True
        error = error.__cause__
    return False


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
