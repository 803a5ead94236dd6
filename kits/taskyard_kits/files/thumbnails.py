"""A small, upright copy of an image from a stranger: nothing is decoded before its header was looked at."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

# The plug-ins by name: Image.open would otherwise import all forty of them.
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from taskyard.domain.errors import TaskError

FORMATS = (
    JpegImagePlugin.JpegImageFile.format,
    PngImagePlugin.PngImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
    GifImagePlugin.GifImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    BmpImagePlugin.BmpImageFile.format,
)
# A picture of a 64-megapixel camera; some 256 MB while it is decoded, a JPEG much less.
MAX_PIXELS = 64_000_000
# Pillow looks at the size too, before we can: it raises above twice this number, and warns above it.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

_KEPT = {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WEBP"}  # what else there is becomes PNG
_SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
_SAVED_WITH: dict[str, dict[str, Any]] = {"JPEG": {"quality": 85}, "WEBP": {"quality": 85}, "PNG": {}}
_ORIENTATION = 0x0112  # EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_SIDEWAYS = 5


@dataclass(frozen=True, slots=True)
class Thumbnail:
    content: bytes
    content_type: str
    suffix: str
    width: int
    height: int


def render(file: BinaryIO, width: int, height: int) -> Thumbnail:
    """A copy that fits into width x height: upright, in sRGB, without metadata, never enlarged.

    JPEG and WebP stay what they are, everything else becomes PNG; transparency is kept. Of an animation or a
    document of several pages: the first.

    Raises TaskError `image_unsupported`, `image_too_large`, `image_damaged`; OSError where the file cannot be
    read.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise TaskError("image_too_large", retryable=False, limit=MAX_PIXELS // 1_000_000)
            kind = _KEPT.get(image.format or "", "PNG")
            return _encoded(_in_srgb(*_shrunk(image, width, height)), kind)
    except TaskError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise TaskError("image_too_large", retryable=False, limit=MAX_PIXELS // 1_000_000) from e
    except UnidentifiedImageError as e:
        raise TaskError("image_unsupported", retryable=False) from e
    # The decoders tell of damaged data in many ways: OSError, SyntaxError, ValueError, EOFError,
    # struct.error, ...
    except Exception as e:
        if isinstance(e, MemoryError) or (isinstance(e, OSError) and e.errno is not None):
            raise
        raise TaskError("image_damaged", retryable=False) from e


def size_of(file: BinaryIO) -> tuple[int, int]:
    """Width and height of an image of ours."""
    with Image.open(file, formats=FORMATS) as image:
        return image.size


def name_of(source: str, thumbnail: Thumbnail) -> str:
    """`photo.jpg` becomes `photo_256x171.jpg`; of a path only the last part counts."""
    last = PurePosixPath(source.replace("\\", "/")).name
    stem = "".join(c for c in PurePosixPath(last).stem if c.isprintable()).strip(". ")[:150]
    return f"{stem or 'image'}_{thumbnail.width}x{thumbnail.height}.{thumbnail.suffix}"


def _shrunk(image: Image.Image, width: int, height: int) -> tuple[Image.Image, bytes | None]:
    """The upright small image and the colour profile of its source."""
    if image.format not in {"JPEG", "MPO"}:
        # Only JPEG can be decoded at a fraction of its size; TIFF turns itself upright while it is loaded.
        image.load()
    orientation = _orientation(image)
    profile = image.info.get("icc_profile")
    small = _smooth(image)
    small.thumbnail((height, width) if orientation >= _FIRST_SIDEWAYS else (width, height))
    small.load()  # what was small enough already has not been decoded yet
    turn = _TURNS.get(orientation)
    return (small if turn is None else small.transpose(turn)), profile


def _orientation(image: Image.Image) -> int:
    # Damaged EXIF data are no reason to refuse a picture.
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - its parser raises whatever the bytes lead it to
        return 1
    return orientation if orientation in _TURNS else 1


def _smooth(image: Image.Image) -> Image.Image:
    """In a mode that can be resized without steps and saved as what we save."""
    if image.has_transparency_data:
        return image if image.mode in {"RGBA", "LA"} else image.convert("RGBA")
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda v: v * (1 / 256)).convert("L")
    if image.mode in {"I", "F"}:
        # Measurements, not brightness: from the darkest to the brightest of this image.
        low, high = image.getextrema()
        scale = 255 / ((high - low) or 1)  # type: ignore[operator]
        return image.convert("F").point(lambda v: v * scale - low * scale).convert("L")  # type: ignore[operator]
    if image.mode in {"L", "RGB", "CMYK"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours that the profile means: without the profile, viewers take them for sRGB."""
    if profile and image.mode in {"L", "RGB", "RGBA", "CMYK"}:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            wanted = image.mode if image.mode in {"RGB", "RGBA"} else "RGB"
            made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=wanted)
            if made is not None:
                return made
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # damaged, or made for another mode: the colours as they are
    return image.convert("RGB") if image.mode == "CMYK" else image


def _encoded(image: Image.Image, kind: str) -> Thumbnail:
    bare = image.copy()
    bare.info = {}  # encoders would write profile, comment and resolution from here
    out = io.BytesIO()
    bare.save(out, kind, **_SAVED_WITH[kind])
    return Thumbnail(out.getvalue(), Image.MIME[kind], _SUFFIX[kind], bare.width, bare.height)
