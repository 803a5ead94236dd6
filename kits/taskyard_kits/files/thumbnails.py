"""Thumbnails from strangers' images: each is decoded in a process of its own (`decoder.py`), which gets as much memory
as the image needs, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from taskyard.domain.errors import TaskError
from taskyard_kits import confined
from taskyard_kits.confined import Check, Died

from .memory import MIB, Memory, NotAsMuch
from .needs import HEADER_BYTES, MAX_PIXELS, OWN_BYTES

# Of what the decoder makes: content type, ending of a name.
_KINDS = {"JPEG": ("image/jpeg", "jpg"), "PNG": ("image/png", "png"), "WEBP": ("image/webp", "webp")}
_DECODER = f"{__package__}.decoder"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    content: bytes
    content_type: str
    suffix: str
    width: int
    height: int


def render(file: BinaryIO, width: int, height: int, memory: Memory, check: Check = lambda: None) -> Thumbnail:
    """A copy of the image in `file`, which has a descriptor, that fits into width x height: upright, in sRGB, without
    metadata, never enlarged.

    JPEG and WebP stay what they are, everything else becomes PNG; transparency is kept. Of an animation or a document
    of several pages: the first. `check` is called a few times a second and ends it by what it raises.

    Raises TaskError `image_unsupported`, `image_too_large`, `image_needs_memory`, `image_damaged`; OSError where the
    file cannot be read.
    """
    taken = 0
    try:
        with ExitStack() as process, _image_errors(memory):
            with memory.turn(check):
                taken += memory.take(OWN_BYTES + HEADER_BYTES, check)
                decoder = process.enter_context(confined.started(_DECODER, width, height, file=file, check=check))
                needed = _checked(decoder.answer(), memory)["needs"]
                taken += memory.take(needed - taken, check, beside=taken)
            decoder.tell()
            made = _checked(decoder.answer(), memory)
            content = decoder.rest()
    finally:
        memory.give_back(taken)
    return Thumbnail(content, *_KINDS[made["kind"]], made["width"], made["height"])


def size_of(file: BinaryIO) -> tuple[int, int]:
    """Width and height of an image of ours."""
    from PIL import Image

    from .decoder import FORMATS

    with Image.open(file, formats=FORMATS) as image:
        return image.size


def name_of(source: str, thumbnail: Thumbnail) -> str:
    """`photo.jpg` becomes `photo_256x171.jpg`; of a path only the last part counts."""
    last = PurePosixPath(source.replace("\\", "/")).name
    stem = "".join(c for c in PurePosixPath(last).stem if c.isprintable()).strip(". ")[:150]
    return f"{stem or 'image'}_{thumbnail.width}x{thumbnail.height}.{thumbnail.suffix}"


def _checked(answer: dict[str, Any], memory: Memory) -> dict[str, Any]:
    match answer:
        case {"error": "unreadable", "errno": number, "reason": reason}:
            raise OSError(number, reason)
        case {"error": "image_too_large"}:
            raise TaskError("image_too_large", retryable=False, limit=MAX_PIXELS // 1_000_000)
        case {"error": "image_needs_memory"}:
            raise _refusal(memory)
        case {"error": code}:
            raise TaskError(code, retryable=False)
    return answer


@contextmanager
def _image_errors(memory: Memory) -> Iterator[None]:
    try:
        yield
    except NotAsMuch:
        raise _refusal(memory) from None
    except Died:
        raise TaskError("image_damaged", retryable=False) from None


def _refusal(memory: Memory) -> TaskError:
    return TaskError("image_needs_memory", retryable=False, limit=memory.total // MIB)
