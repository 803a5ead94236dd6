"""What memory the decoding of an image takes, reckoned from its header before anything is decoded.

The figures are those of Pillow's own allocations (`ImagingNew` in its Storage.c: 1 byte a pixel for the modes 1, L and
P, 2 for I;16, 4 for all others) and of the libraries below it, and were compared with what processes were seen to take.
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

# A picture of a 64-megapixel camera.
MAX_PIXELS = 64_000_000
MIB = 1024**2
# What the decoder takes for any image at all, and its process with Pillow loaded.
SPARE_BYTES = 14 * MIB
OWN_BYTES = SPARE_BYTES + 24 * MIB
# For reading a header, with all metadata that stand before the image.
HEADER_BYTES = 24 * MIB
# In squares of this side an image is converted and reduced: 4 MiB at most.
SQUARE = 512

KEPT = {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WEBP"}  # what else there is becomes PNG
_NARROW = {"1", "L", "P"}
_YCBCR = 6


class TooLarge(Exception):
    """More than MAX_PIXELS."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large an image is when it is decoded, and in the end; `factors`: by which it is reduced in between."""

    decoded: tuple[int, int]
    factors: tuple[int, int]
    final: tuple[int, int]

    @classmethod
    def of(cls, decoded: tuple[int, int], box: tuple[int, int]) -> Sizes:
        final = _fitted(decoded, box)
        # What is left for the last step is twice as large as the result at least, so that it stays sharp.
        fx, fy = (max(1, min(SQUARE, n // (2 * f))) for n, f in zip(decoded, final, strict=True))
        return cls(decoded, (fx, fy), final)

    @property
    def reduced(self) -> tuple[int, int]:
        w, h = (math.ceil(n / f) for n, f in zip(self.decoded, self.factors, strict=True))
        return w, h

    def bytes(self, mode: str, kind: str, *, decoder: int = 0, kept: int = 0) -> int:
        """The most that is needed at one time. `decoder`: beside the image while it is decoded; `kept`: of that, until
        it is reduced."""
        (w, h), pixel = self.decoded, 1 if mode in _NARROW else 2 if mode.startswith("I;16") else 4
        image = w * h * pixel + 8 * h  # with the table of its rows
        rows = 4 * 8 * w  # what decoders keep of a row, with 16 bits a sample
        reduced, final = _area(self.reduced) * 4, _area(self.final)
        halfway = self.final[0] * self.reduced[1] * 4  # resizing goes by rows, then by columns
        encoding = final * (44 if kind == "WEBP" else 16)  # copies of the picture, and the file
        return max(image + rows + decoder, image + kept + reduced, reduced + halfway + final * 4, encoding)


def _fitted(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size in the box with these proportions, or the size itself."""
    (w, h), (bw, bh) = size, box
    if w <= bw and h <= bh:
        return size
    if bw * h >= bh * w:
        return min(bw, max(1, math.ceil(bh * w / h - 0.5))), bh
    return bw, min(bh, max(1, math.ceil(bw * h / w - 0.5)))


def of_head(file: BinaryIO, box: tuple[int, int]) -> int | None:
    """For the formats whose canvas is allocated as soon as Pillow opens them; None for others. Raises TooLarge."""
    head = file.read(30).ljust(30, b"\0")
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    if head[:3] == b"GIF":
        size = struct.unpack_from("<HH", head, 6)
        # The first frame may be allocated a second time.
        return _most(size, box, "P", "PNG", kept=checked((size[0], size[1])))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        size = _webp_size(head)
        # Two canvases and the frame of libwebp, two copies of the file and one of the pixels of Pillow.
        held = 2 * length + 13 * checked(size)
        return _most(size, box, "RGBA", "WEBP", decoder=held, kept=held)
    return None


def _most(size: tuple[int, int], box: tuple[int, int], mode: str, kind: str, **more: int) -> int:
    """The worse of both boxes: that an image is shown sideways may be seen too late."""
    size = max(1, size[0]), max(1, size[1])
    return max(Sizes.of(size, b).bytes(mode, kind, **more) for b in (box, box[::-1]))


def _webp_size(head: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    match head[12:16]:
        case b"VP8X":
            return tuple(int.from_bytes(head[n : n + 3], "little") + 1 for n in (24, 27))  # type: ignore[return-value]
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            return tuple(int.from_bytes(head[n : n + 2], "little") & 0x3FFF for n in (26, 28))  # type: ignore[return-value]


def of_image(image: Any, file: BinaryIO, box: tuple[int, int], *, turned: bool) -> int:
    """For an image that is opened; `turned`: its metadata say that it lies on a side. A JPEG is decoded at a fraction
    of its size from here on. Raises TooLarge."""
    full: tuple[int, int] = image.size
    pixels = checked(full)
    decoder = 0
    match image.format:
        case "JPEG" | "MPO":
            final = Sizes.of(full, box).final
            image.draft(None, (2 * final[0], 2 * final[1]))
            if "progressive" in image.info or not _is_one_scan(image, file):
                decoder = _coefficients(image.layer, full)
        case "TIFF":
            # Pillow turns it while it is loaded.
            decoder = max(_tiff_buffers(image, file), 4 * pixels if turned else 0)
        case "BMP" if image.tile[0][0] == "bmp_rle":
            decoder = 2 * pixels  # as bytes, twice
    return _most(image.size, box, image.mode, KEPT.get(image.format, "PNG"), decoder=decoder)


def checked(size: tuple[int, int]) -> int:
    """The pixels. Raises TooLarge."""
    if _area(size) > MAX_PIXELS:
        raise TooLarge
    return _area(size)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _is_one_scan(image: Any, file: BinaryIO) -> bool:
    """Whether the first scan, up to whose header Pillow has read, has all components: a baseline image in one piece.
    Otherwise libjpeg keeps the whole image as coefficients."""
    here, length = file.tell(), 6 + 2 * image.layers
    file.seek(here - length - 2)
    header = file.read(4)
    file.seek(here)
    return bool(header == b"\xff\xda" + length.to_bytes(2, "big"))


def _coefficients(layers: list[tuple[int, int, int, int]], size: tuple[int, int]) -> int:
    """Two bytes each, as many for a component as it is sampled, in blocks of eight."""
    most = max(layer[1] for layer in layers), max(layer[2] for layer in layers)
    units = [math.ceil(n / (8 * max(1, m))) * 8 for n, m in zip(size, most, strict=True)]
    return sum(2 * _area((units[0] * layer[1], units[1] * layer[2])) for layer in layers)


def _tiff_buffers(image: Any, file: BinaryIO) -> int:
    """A strip or tile, which may be larger than the image, is read as a whole and unpacked as a whole. Where it is
    compressed, libtiff maps the file."""
    from PIL import TiffImagePlugin

    tags = image.tag_v2
    if TiffImagePlugin.TILEWIDTH in tags:
        w, h = tags[TiffImagePlugin.TILEWIDTH], tags[TiffImagePlugin.TILELENGTH]
    else:
        w, h = tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
        h = min(h, tags.get(TiffImagePlugin.ROWSPERSTRIP, h))
    if image.info.get("compression") == "raw":
        starts = sorted(tile[2] for tile in image.tile)
        return 2 * max((b - a for a, b in pairwise(starts)), default=0)
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _YCBCR:
        samples = max(4, samples)  # libtiff makes RGBA of it
    return int(w * h * samples * math.ceil(max(bits) / 8)) + file.seek(0, io.SEEK_END)
