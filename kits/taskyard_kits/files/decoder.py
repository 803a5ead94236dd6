"""Makes one thumbnail, in a process of its own that `thumbnails.py` starts: `decoder FD WIDTH HEIGHT`.

Nothing is decoded before its needs are reckoned from the header and granted. The kernel holds the process to them
(RLIMIT_DATA), and to a time of the processor (RLIMIT_CPU), whatever a file makes the libraries do: metadata that unpack
to more than they are, directories that name the same bytes a thousand times, comments of a gigabyte, scans without end.

On standard output, JSON objects, one a line: `{"needs": bytes}`, after which it waits for a line on standard input;
`{"kind": …, "width": …, "height": …}`, and behind it the thumbnail. At any time instead: `{"error": code}`.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, BinaryIO

# The plug-ins by name: Image.open would otherwise import all forty of them.
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from taskyard_kits import process_limits as limits

from . import needs, picture
from .needs import Sizes

FORMATS = (
    JpegImagePlugin.JpegImageFile.format,
    PngImagePlugin.PngImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
    GifImagePlugin.GifImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    BmpImagePlugin.BmpImageFile.format,
)


# Of the processor: no sound image takes so long. While a header is read, others wait for their turn.
_HEADER_SECONDS = 10
_SECONDS = 120


def main(fd: int, width: int, height: int) -> None:
    limits.begin()
    # Pillow looks at the size too, before we can: it raises above twice this number.
    Image.MAX_IMAGE_PIXELS = needs.MAX_PIXELS
    warnings.simplefilter("ignore")
    limits.limit(needs.HEADER_BYTES, _HEADER_SECONDS)
    try:
        with open(fd, "rb") as file:
            image, kind = _made(file, (width, height))
            content = _encoded(image, kind)
    except Exception as e:  # noqa: BLE001 - the decoders tell of damaged data in many ways
        limits.lift_memory()  # nothing comes before
        limits.say(**_error(e))
    else:
        limits.say(kind=kind, width=image.width, height=image.height)
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _made(file: BinaryIO, box: tuple[int, int]) -> tuple[Image.Image, str]:
    known = needs.of_head(file, box)
    if known is not None:
        _ask_for(known)
    image = Image.open(file, formats=FORMATS)
    # Of other formats Pillow reads the metadata behind the pixels before it tells.
    orientation = picture.orientation_of(image) if image.format in {"JPEG", "MPO", "TIFF"} else None
    if known is None:
        if orientation in picture.SIDEWAYS and image.format != "TIFF":
            box = box[::-1]
        _ask_for(needs.of_image(image, file, box, turned=orientation != 1))
    else:
        needs.checked(image.size)
    image.load()
    if orientation is None:
        orientation = picture.orientation_of(image)
        if orientation in picture.SIDEWAYS:
            box = box[::-1]
    elif image.format == "TIFF":
        orientation = 1  # Pillow has turned it
    kind, profile = needs.KEPT.get(image.format or "", "PNG"), image.info.get("icc_profile")
    sizes = Sizes.of(image.size, box)
    small = picture.reduced(image, sizes.factors)
    del image
    return picture.finished(small, sizes, orientation, profile), kind


def _encoded(image: Image.Image, kind: str) -> bytes:
    try:
        return picture.encoded(image, kind)
    except Exception as e:
        raise MemoryError from e  # WebP's encoder says so in other words, and the image is one of ours


def _ask_for(needed: int) -> None:
    needed = max(needed, needs.HEADER_BYTES)
    limits.say(needs=needed + needs.OWN_BYTES)
    if not sys.stdin.readline():
        raise SystemExit
    limits.limit(needed + needs.SPARE_BYTES, _SECONDS)


def _error(error: Exception) -> dict[str, Any]:
    match error:
        case needs.TooLarge() | Image.DecompressionBombError():
            return {"error": "image_too_large"}
        case MemoryError():
            return {"error": "image_needs_memory"}
        case UnidentifiedImageError():
            return {"error": "image_unsupported"}
        case OSError() if error.errno is not None:
            return limits.unreadable(error)
        case _:
            return {"error": "image_damaged"}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
