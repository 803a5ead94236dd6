"""Files that are images, seem to be, or are not."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import partial

from PIL import Image as Picture

from tests.support import heavy_images as heavy

from . import Image, one_of

_DAMAGED = one_of("image_damaged", "image_unsupported")
_NEEDS = one_of("succeeded", "image_needs_memory", "image_too_large")
_WORDS = "a file that is no image is a final error with words"
_MEMORY = "an image that does not fit into memory is refused before it is decoded"


def small(kind: str, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Picture.new(mode, (40, 30), 77 if mode in {"L", "P", "1"} else (1, 2, 3)).save(out, kind)
    return out.getvalue()


SMALL = {kind: small(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")}


def _with_size(width: int, height: int) -> bytes:
    head = heavy.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return SMALL["PNG"][:8] + head + SMALL["PNG"][8 + len(head) :]


def _frames() -> bytes:
    out = io.BytesIO()
    frames = [Picture.new("P", (4, 4), n % 256) for n in range(500)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def _kept(content: bytes) -> Callable[[], bytes]:
    return lambda: content


IMAGES = (
    *(Image(f"a small {kind}", "ordinary images work", _kept(content), one_of("succeeded"))
      for kind, content in SMALL.items()),
    *(Image(f"half of a {kind}", _WORDS, _kept(content[: len(content) // 2]), one_of("succeeded", *_DAMAGED))
      for kind, content in SMALL.items()),
    Image("nothing", _WORDS, _kept(b""), _DAMAGED),
    Image("a signature only", _WORDS, _kept(SMALL["PNG"][:8]), _DAMAGED),
    Image("text", _WORDS, _kept(b"not an image\n" * 100), _DAMAGED),
    Image("SVG", _WORDS, _kept(b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'),
          _DAMAGED),
    Image("PostScript", "no interpreter is started for a file",
          _kept(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n"), _DAMAGED),
    Image("a wrong check sum", _WORDS, _kept(SMALL["PNG"][:-5] + b"\0" + SMALL["PNG"][-4:])),
    Image("no pixels", _WORDS, _kept(_with_size(0, 0)), _DAMAGED),
    Image("2**31 pixels a row", _MEMORY, _kept(_with_size(2**31 - 1, 2**31 - 1)),
          one_of("image_too_large", *_DAMAGED)),
    Image("more pixels than it has data", _MEMORY, _kept(_with_size(7_900, 7_900))),
    Image("one bit a pixel, with transparency", _MEMORY,
          partial(heavy.png, heavy.MOST, heavy.MOST, 1, 3, transparent=True), _NEEDS),
    Image("one row", _MEMORY, partial(heavy.png, 16_000_000, 1, 8, 6), _NEEDS),
    Image("a tile larger than its image", _MEMORY, heavy.tiff_of_a_large_tile, one_of(*_NEEDS, *_DAMAGED)),
    Image("entries that share their bytes", _MEMORY, heavy.tiff_of_shared_bytes, one_of(*_NEEDS, *_DAMAGED)),
    Image("500 frames", "of an animation one frame is decoded", _frames, one_of("succeeded")),
)  # fmt: skip
