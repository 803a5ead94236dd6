"""The bands of a raster, from those of an image: grey, or red, green and blue, and alpha where something is clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags

from .source import reading

_OPAQUE = 255
# The types that colours and grey come in; all others are measured data.
_PICTURES = {"uint8", "uint16"}


@dataclass(frozen=True, slots=True)
class Measure:
    """What the values of a band are: `scale` times a value and `offset`, in `unit`."""

    scale: float
    offset: float
    unit: str | None
    description: str | None

    def describe(self, target: Any, number: int) -> None:
        """Says so of a band of the dataset; what is not known is not said."""
        if (self.scale, self.offset) != (1, 0):
            target.scales = _replaced(target.scales, number, self.scale)
            target.offsets = _replaced(target.offsets, number, self.offset)
        if self.unit:
            target.set_band_unit(number, self.unit)
        if self.description:
            target.set_band_description(number, self.description)


def _replaced(values: Sequence[float], number: int, value: float) -> list[float]:
    return [*values[: number - 1], value, *values[number:]]


def _measures_of(dataset: Any) -> list[Measure]:
    of_bands = zip(dataset.scales, dataset.offsets, dataset.units, dataset.descriptions, strict=True)
    return [Measure(*values) for values in of_bands]


class Bands:
    """Palettes become colours, and grey of fewer than eight bits becomes grey of eight. Grey whose zero is white is
    turned over (`is_negative`). What a colour or a mask of the file makes clear becomes alpha. All else, data of any
    type among it, stays as it is."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.is_negative = _is_negative(dataset)
        self._palette = None if self.is_negative else _palette_of(dataset)
        self._factor = 1 if self._palette is not None else _factor_of(dataset)
        self.dtype: str = dataset.dtypes[0]
        self._white = np.dtype(self.dtype).type(self._factor * (2 ** _bits_of(dataset) - 1) if self.is_negative else 0)
        is_picture = self._palette is None and self.dtype in _PICTURES
        has_mask = MaskFlags.all_valid not in dataset.mask_flag_enums[0]
        self._adds_alpha = is_picture and has_mask and ColorInterp.alpha not in dataset.colorinterp
        # What measured data, such as heights, have in place of alpha.
        self.nodata: float | None = None if is_picture or self._palette is not None else dataset.nodata
        self.colours = self._colours()
        is_as_stored = self._palette is None and self._factor == 1 and not self.is_negative
        self.measures = _measures_of(dataset) if is_as_stored else []
        # The ICC profile that the colours are meant by, as GDAL takes it; of a grey palette it is one of colours.
        profile = dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE")
        self.profile: str | None = None if self._palette is not None and self.count == 1 else profile

    @property
    def count(self) -> int:
        return len(self.colours)

    def _colours(self) -> list[ColorInterp]:
        grey, alpha = [ColorInterp.gray], [ColorInterp.alpha]
        rgb = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        if self._palette is not None:
            return {1: grey, 3: rgb, 4: rgb + alpha}[self._palette.shape[0]]
        own = list(self._dataset.colorinterp)
        if self.is_negative:
            own[:1] = grey
        return own + alpha if self._adds_alpha else own

    def read(self, window: Any) -> Any:
        """The bands of a window: an array of band, row and column."""
        with reading():
            pixels = self._dataset.read(window=window)
        if self._palette is not None:
            colours = self._palette[:, pixels[0]]
            if _has_mask_of_its_own(self._dataset):
                colours[3] *= self._seen(window)
            return colours
        if self._factor != 1:
            pixels *= np.uint8(self._factor)
        if self.is_negative:
            np.subtract(self._white, pixels[0], out=pixels[0])
        if self._adds_alpha:
            mask = self._seen(window)[None]
            pixels = np.concatenate([pixels, mask * np.iinfo(pixels.dtype).max], dtype=pixels.dtype, casting="unsafe")
        return pixels

    def _seen(self, window: Any) -> Any:
        """By the mask: which pixels are not clear."""
        with reading():
            return self._dataset.dataset_mask(window=window) > 0


def _palette_of(dataset: Any) -> Any:
    """What each of 256 values stands for, as 1, 3 or 4 bands; None where they stand for themselves."""
    if dataset.count != 1 or dataset.dtypes[0] != "uint8":
        return None
    try:
        entries = dataset.colormap(1)
    except ValueError:
        return None
    palette = np.zeros((4, 256), dtype=np.uint8)
    palette[3] = _OPAQUE
    for value, colour in entries.items():
        palette[:, value] = colour
    if dataset.nodata is not None and dataset.nodata in entries:
        palette[3, int(dataset.nodata)] = 0
    used = palette[:, list(entries)]
    if (used[3] != _OPAQUE).any() or _has_mask_of_its_own(dataset):
        return palette
    return palette[:1] if (used[0] == used[1]).all() and (used[1] == used[2]).all() else palette[:3]


def _has_mask_of_its_own(dataset: Any) -> bool:
    """A band that is nothing else: no alpha, and no value that stands for what is clear."""
    return set(dataset.mask_flag_enums[0]) == {MaskFlags.per_dataset}


def _is_negative(dataset: Any) -> bool:
    """Measured data have no white, and a map of classes has names: neither is turned over."""
    says_so = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    return says_so and dataset.dtypes[0] in _PICTURES and ColorInterp.palette not in dataset.colorinterp


def _bits_of(dataset: Any) -> int:
    return int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", np.dtype(dataset.dtypes[0]).itemsize * 8))


def _factor_of(dataset: Any) -> int:
    """What makes grey of 1, 2 or 4 bits grey of 8."""
    bits = _bits_of(dataset)
    return 255 // (2**bits - 1) if dataset.dtypes[0] == "uint8" and bits in {1, 2, 4} else 1
