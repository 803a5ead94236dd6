"""Reads an image a strip at a time: upright, and in the bands of the raster."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.windows import Window

from .bands import Bands

# Of decoded pixels. With the tiles that they are written to, and GDAL's cache, this is most of the memory in use.
_STRIP_BYTES = 8 * 1024**2
# What GeoTIFF takes as a tile's side is a multiple of the step. The largest is that of a COG's tile in GDAL.
_STEP, _TILE = 16, 512

_SIDEWAYS = {5, 6, 7, 8}
# Bottom up, and right to left, in the orientations of Exif: seen in the rows and columns of the file.
_BOTTOM_UP, _RIGHT_TO_LEFT = {3, 4, 6, 7}, {2, 3, 7, 8}


@dataclass(frozen=True, slots=True)
class Strip:
    """`pixels` of all bands, and where they begin in the raster."""

    col: int
    row: int
    pixels: Any


class Strips:
    """The strips of a dataset. `rows`: the height of each but one of the outer ones, in the file's rows. `tile`: what
    they are written in, as columns and rows of the file."""

    def __init__(self, dataset: Any, orientation: int) -> None:
        self._dataset = dataset
        self._orientation = orientation
        self.is_sideways = orientation in _SIDEWAYS
        size = (dataset.width, dataset.height)
        self.width, self.height = size[::-1] if self.is_sideways else size
        self.bands = Bands(dataset)
        row_bytes = dataset.width * self.bands.count * np.dtype(self.bands.dtype).itemsize
        self.rows = max(_STEP, min(_TILE, _STRIP_BYTES // row_bytes // _STEP * _STEP))
        self.tile = (min(_TILE, math.ceil(dataset.width / _STEP) * _STEP), self.rows)

    def tile_bytes(self, count: int) -> int:
        """Of all tiles, which reach beyond the image, with so many bands."""
        sides = zip((self._dataset.width, self._dataset.height), self.tile, strict=True)
        pixels: int = math.prod(math.ceil(length / side) * side for length, side in sides)
        return pixels * count * np.dtype(self.bands.dtype).itemsize

    def __iter__(self) -> Iterator[Strip]:
        """In the order of the file, which some drivers can read from the top to the bottom only."""
        height, first = self._dataset.height, 0
        while first < height:
            # Where they are turned over, the last one, which may be lower, comes first: so tiles are written whole.
            rows = (height - first) % self.rows if self._orientation in _BOTTOM_UP else 0
            rows = min(rows or self.rows, height - first)
            yield self._turned(self.bands.read(Window(0, first, self._dataset.width, rows)), first)
            first += rows

    def _turned(self, pixels: Any, first: int) -> Strip:
        at = first
        if self._orientation in _BOTTOM_UP:
            pixels = pixels[:, ::-1, :]
            at = self._dataset.height - first - pixels.shape[1]
        if self._orientation in _RIGHT_TO_LEFT:
            pixels = pixels[:, :, ::-1]
        if self.is_sideways:
            return Strip(at, 0, pixels.transpose(0, 2, 1))
        return Strip(0, at, pixels)
