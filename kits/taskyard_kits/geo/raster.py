"""Writes the Cloud-Optimised GeoTIFF (COG): tiles, overviews, and the directories of all of them in front.

All go through a plain GeoTIFF of tiles first: GDAL makes a COG from what it can read in any order, which it cannot do
with PNG, JPEG, and TIFF that is compressed in strips.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from .placement import Placement
from .strips import Strips

# Lossless, and read by all that read GeoTIFF at all. 512 is the side of a COG's tile in GDAL.
_COG = {
    "driver": "COG",
    "COMPRESS": "DEFLATE",
    "BLOCKSIZE": "512",
    "OVERVIEWS": "IGNORE_EXISTING",
    "BIGTIFF": "IF_SAFER",
    "NUM_THREADS": "1",
}
# Rows of tiles are decoded once, where the rows that are read at a time are as many.
_READ_BYTES = 16 * 1024**2


def write_tiles(path: Path, strips: Strips, placement: Placement, done: Callable[[float], None]) -> int:
    """The image as a GeoTIFF of tiles without compression, at `path`; its `total_of`. `done` hears which share of it is
    written."""
    bands = strips.bands
    block = strips.tile[::-1] if strips.is_sideways else strips.tile
    options: dict[str, Any] = {"width": strips.width, "height": strips.height, "count": bands.count}
    options |= {"dtype": bands.dtype, "crs": placement.crs, "transform": placement.transform, "nodata": bands.nodata}
    options |= {"tiled": True, "blockxsize": block[0], "blockysize": block[1], "interleave": "pixel"}
    if bands.profile is not None:
        options["SOURCE_ICC_PROFILE"] = bands.profile
    options["photometric"] = "RGB" if bands.colours[0] is ColorInterp.red else "MINISBLACK"
    written, total, all_pixels = 0, 0, strips.width * strips.height
    with rasterio.open(path, "w", driver="GTiff", bigtiff="IF_SAFER", **options) as target:
        target.colorinterp = bands.colours
        for number, measure in enumerate(bands.measures, start=1):
            measure.describe(target, number)
        for strip in strips:
            _, rows, cols = strip.pixels.shape
            target.write(strip.pixels, window=Window(strip.col, strip.row, cols, rows))
            written, total = written + rows * cols, total + _sum(strip.pixels)
            done(written / all_pixels)
    return total


def copy_tiles(path: Path, dataset: Any, tile: tuple[int, int]) -> None:
    """A GeoTIFF, with all that it says of itself, as a GeoTIFF of tiles without compression, at `path`."""
    options = {
        "tiled": True,
        "blockxsize": tile[0],
        "blockysize": tile[1],
        "interleave": "pixel",
        "bigtiff": "IF_SAFER",
    }
    rasterio.shutil.copy(dataset, path, driver="GTiff", **options)


def write_cog(source: Any, path: Path) -> None:
    """A COG with all that the dataset has. Overviews are averages, or samples where values are names of colours."""
    is_palette = ColorInterp.palette in source.colorinterp
    # A predictor needs samples of whole bytes; GDAL names their bits where they are fewer.
    has_whole_bytes = "NBITS" not in source.tags(1, ns="IMAGE_STRUCTURE")
    options = {"PREDICTOR": "YES" if has_whole_bytes else "NO", "RESAMPLING": "NEAREST" if is_palette else "AVERAGE"}
    rasterio.shutil.copy(source, path, **_COG, **options)


def total_of(dataset: Any) -> int:
    """The sum of all bytes of its pixels, in whatever order they lie. Two datasets of one image have the same."""
    row_bytes = dataset.width * dataset.count * np.dtype(dataset.dtypes[0]).itemsize
    rows = max(1, _READ_BYTES // row_bytes)
    windows = (Window(0, row, dataset.width, min(rows, dataset.height - row)) for row in range(0, dataset.height, rows))
    return sum(_sum(dataset.read(window=window)) for window in windows)


def _sum(pixels: Any) -> int:
    return int(np.ascontiguousarray(pixels).view(np.uint8).sum(dtype=np.uint64))
