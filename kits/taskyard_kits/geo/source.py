"""The image that a raster is made from: which of the three drivers reads it, and whether that can be done here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from .headers import has_multiplied_colours, has_unshown_colours, is_decoded_whole
from .refusals import Refused

# 20,000 x 20,000 with some room; a sheet of A0 scanned at 300 dpi has 140 million.
MAX_PIXELS = 500_000_000
MAX_SIDE = 100_000
# As it is decoded, and as its tiles, in the bands of the raster. What lies on the disk beside the image while a raster
# is made is up to three times as much: the tiles, a third of them as overviews, and both again as the raster.
MAX_DECODED_BYTES = 4 * 1024**3
MAX_BANDS = 64
# What may be decoded at one time: a block of a TIFF, which may be all of it, an interlaced PNG, a progressive JPEG.
HELD_BYTES = 192 * 1024**2

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
}
# Without the profile of the press that they are meant for they have no colours that could be kept.
_PRINT_COLOURS = ("CMYK", "YCCK", "CIELAB")
# GDAL makes RGB of some of these, of eight bits; where it names one, it has not.
_OTHER_COLOURS = {ColorInterp.cyan, ColorInterp.Y, ColorInterp.hue, ColorInterp.lightness}


def driver_of(file: BinaryIO) -> str:
    """By its first bytes, never by its name. Raises Refused `image_unsupported`."""
    file.seek(0)
    head = file.read(8)
    for magic, driver in _MAGIC.items():
        if head.startswith(magic):
            return driver
    raise Refused("image_unsupported")


@contextmanager
def opened(path: str, driver: str) -> Iterator[Any]:
    """The dataset, opened by this one driver. Raises Refused."""
    with reading():
        dataset = rasterio.open(path, driver=driver)
    with dataset:
        _check_bands(dataset)
        _check_size(dataset)
        yield dataset


@contextmanager
def reading() -> Iterator[None]:
    """What GDAL says of pixels that cannot be decoded, as Refused `image_damaged`."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as e:
        raise Refused("image_damaged") from e


def _check_bands(dataset: Any) -> None:
    space = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")
    first = dataset.dtypes[0]
    is_wide_palette = first != "uint8" and ColorInterp.palette in dataset.colorinterp
    has_other_colours = not _OTHER_COLOURS.isdisjoint(dataset.colorinterp)
    if space in _PRINT_COLOURS or is_wide_palette or has_other_colours:
        raise Refused("colours_unsupported")
    if first.startswith("complex") or set(dataset.dtypes) != {first}:
        raise Refused("values_unsupported")


def _check_size(dataset: Any) -> None:
    width, height, count = dataset.width, dataset.height, dataset.count
    pixel_bytes = count * np.dtype(dataset.dtypes[0]).itemsize
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise Refused("image_too_large", limit=MAX_PIXELS // 1_000_000, side=MAX_SIDE)
    if count > MAX_BANDS:
        raise too_large()
    check_decoded(width * height * pixel_bytes)
    rows, cols = dataset.block_shapes[0]
    if rows * cols * pixel_bytes > HELD_BYTES:
        raise Refused("image_needs_memory")


def check_decoded(size: int) -> None:
    """Raises Refused `raster_too_large`."""
    if size > MAX_DECODED_BYTES:
        raise too_large()


def too_large() -> Refused:
    return Refused("raster_too_large", limit=MAX_DECODED_BYTES // 1024**3, bands=MAX_BANDS)


def check_head(file: BinaryIO, driver: str, dataset: Any) -> None:
    """What GDAL does not tell. What is decoded as a whole is held as it is, or as libjpeg's coefficients of two
    bytes. Raises Refused `colours_unsupported`, `image_needs_memory`."""
    if has_multiplied_colours(file, driver) or has_unshown_colours(file, driver):
        raise Refused("colours_unsupported")
    value_bytes = 2 if driver == "JPEG" else np.dtype(dataset.dtypes[0]).itemsize
    held = dataset.width * dataset.height * dataset.count * value_bytes
    if held > HELD_BYTES and is_decoded_whole(file, driver):
        raise Refused("image_needs_memory")


@contextmanager
def reopened(path: Path) -> Iterator[Any]:
    """A GeoTIFF of ours."""
    with rasterio.open(path, driver="GTiff") as dataset:
        yield dataset
