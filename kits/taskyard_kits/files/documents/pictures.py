"""Images of a document: decoded, and written anew for the pages. None is fetched: only `data:` addresses are read."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ..decoder import FORMATS
from ..picture import extremes, in_eight_bits

MAX_IMAGES = 200
MAX_IMAGE_BYTES = 8 * 1024 * 1024
MAX_PIXELS = 25_000_000
# Of the longer side, on the page: 300 dots per inch of A4's width.
_MAX_SIDE = 2_000
# Points: pixels of HTML are 1/96 inch. The height is that of a page without its margins.
_POINTS_PER_PIXEL = 0.75
_MAX_POINTS_HIGH = 600
_DATA = re.compile(r"data:image/[a-z0-9.+-]{1,40}(;[a-z0-9=.-]{1,40}){0,3};base64,", re.IGNORECASE)


class _Outside(Exception):
    pass


class Pictures:
    """Writes images into the `directory`. `left_out` counts the others by reason."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0
        self.left_out: Counter[str] = Counter()

    def block(self, address: str, text: str) -> dict[str, Any] | None:
        """None where the image is left out."""
        try:
            return self._written(self._content(address), text)
        except (Image.DecompressionBombError, MemoryError):
            self.left_out["images_too_large"] += 1
        except _Outside:
            self.left_out["images_outside"] += 1
        except Exception:  # noqa: BLE001 - the decoders tell of damaged data in many ways
            self.left_out["images_unreadable"] += 1
        return None

    def _content(self, address: str) -> bytes:
        if address[:5].lower() != "data:":
            raise _Outside
        head = _DATA.match(address[:200])
        if head is None:
            raise ValueError
        encoded = address[head.end() :]
        if self._count >= MAX_IMAGES or len(encoded) > MAX_IMAGE_BYTES * 4 // 3 + 4:
            raise MemoryError
        return base64.b64decode(encoded)

    def _written(self, content: bytes, text: str) -> dict[str, Any]:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MemoryError
            size = image.size
            image.draft("RGB", (_MAX_SIDE, _MAX_SIDE))
            made = ImageOps.exif_transpose(image)
            if made.size != size and made.width < made.height != size[0] < size[1]:
                size = size[::-1]
        made = in_eight_bits(made, *extremes(made))
        made.thumbnail((_MAX_SIDE, _MAX_SIDE))
        is_photograph = image.format in {"JPEG", "MPO"}
        made = made.convert("RGB" if is_photograph else "RGBA")
        self._count += 1
        name = f"{self._count}.{'jpg' if is_photograph else 'png'}"
        made.save(self._directory / name)
        width = min(size[0] * _POINTS_PER_PIXEL, _MAX_POINTS_HIGH * size[0] / size[1])
        return {"t": "image", "file": name, "width": width, "alt": text.strip()[:500] or None}
