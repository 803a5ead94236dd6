"""A small, upright copy of an opened image."""

from __future__ import annotations

import io
import math
from typing import Any

from PIL import Image, ImageCms

from .needs import SQUARE, Sizes

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
SIDEWAYS = frozenset({5, 6, 7, 8})
_STRAIGHT = {"La": "LA", "RGBa": "RGBA"}


def orientation_of(image: Image.Image) -> int:
    """1 for upright, as EXIF counts."""
    # Damaged EXIF data are no reason to refuse a picture.
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - its parser raises whatever the bytes lead it to
        return 1
    return orientation if orientation in _TURNS else 1


def reduced(image: Image.Image, factors: tuple[int, int]) -> Image.Image:
    """Smaller by whole factors, in a mode that can be resized without steps and saved as what we save. Square by
    square: a second image of the full size is never made."""
    low, high = extremes(image)
    (w, h), (fx, fy) = image.size, factors
    x_step, y_step = (f * (SQUARE // f) for f in (fx, fy))
    small: Image.Image | None = None
    for y in range(0, h, y_step):
        for x in range(0, w, x_step):
            square = image.crop((x, y, min(w, x + x_step), min(h, y + y_step)))
            square = _smooth(square, low, high).reduce(factors)
            if small is None:
                small = Image.new(square.mode, (math.ceil(w / fx), math.ceil(h / fy)))
            small.paste(square, (x // fx, y // fy))
    assert small is not None
    return small


def finished(image: Image.Image, sizes: Sizes, orientation: int, profile: bytes | None) -> Image.Image:
    """From what is reduced: of the final size, upright, in sRGB, without metadata."""
    if image.size != sizes.final:
        # A last row or column may stand for fewer than the others.
        right, lower = (n / f for n, f in zip(sizes.decoded, sizes.factors, strict=True))
        image = image.resize(sizes.final, Image.Resampling.BICUBIC, box=(0, 0, right, lower))
    image = image.convert(_STRAIGHT.get(image.mode, image.mode))
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    return _in_srgb(image, profile)


def encoded(image: Image.Image, kind: str) -> bytes:
    image.info.clear()  # encoders would write profile, comment and resolution from here
    out = io.BytesIO()
    image.save(out, kind, **_SAVED_WITH[kind])
    return out.getvalue()


def extremes(image: Image.Image) -> tuple[Any, Any]:
    """Of what `in_eight_bits` needs them for."""
    return image.getextrema() if image.mode in {"I", "F"} else (0, 0)  # type: ignore[return-value]


def in_eight_bits(image: Image.Image, low: Any, high: Any) -> Image.Image:
    """Grey of more bits as Pillow's own conversion, which cuts it off, does not make it; others as they are."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda v: v * (1 / 256)).convert("L")
    if image.mode in {"I", "F"}:
        # Measurements, not brightness: from the darkest to the brightest of this image.
        scale = 255 / ((high - low) or 1)
        return image.convert("F").point(lambda v: v * scale - low * scale).convert("L")
    return image


def _smooth(image: Image.Image, low: Any, high: Any) -> Image.Image:
    image = in_eight_bits(image, low, high)
    if image.has_transparency_data:
        # Premultiplied, so that the colour of what is transparent does not shine through.
        return image.convert("La") if image.mode == "LA" else image.convert("RGBA").convert("RGBa")
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
