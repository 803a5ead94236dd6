"""How an image has to be turned to stand upright: the orientation that its file names (Exif 2.32, tag 0x0112).

GDAL tells it of JPEG only. So it is read here, from the same bytes as GDAL reads, in a bounded number of steps.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

UPRIGHT = 1
_TAG = 0x0112
# More segments or chunks in front of the pixels have not been seen, nor more entries in a directory.
_MAX_STEPS = 1000


def orientation_of(file: BinaryIO, driver: str) -> int:
    """1 to 8; 1 where the file names none, or none that there is."""
    try:
        match driver:
            case "JPEG":
                found = _of_jpeg(file)
            case "PNG":
                found = _of_png(file)
            case _:
                found = _of_tiff(file, 0)
    except (struct.error, OverflowError, OSError):
        return UPRIGHT
    return found if 1 <= found <= 8 else UPRIGHT


def _of_jpeg(file: BinaryIO) -> int:
    """Of the first APP1 segment with Exif in front of the pixels."""
    at = 2
    for _ in range(_MAX_STEPS):
        mark, kind, length = _unpacked(file, at, ">BBH")
        if mark != 0xFF or kind in {0xDA, 0xD9}:
            break
        if kind == 0xE1 and _read(file, at + 4, 6) == b"Exif\0\0":
            return _of_tiff(file, at + 10)
        at += 2 + length
    return UPRIGHT


def _of_png(file: BinaryIO) -> int:
    at = 8
    for _ in range(_MAX_STEPS):
        (length,), kind = _unpacked(file, at, ">I"), _read(file, at + 4, 4)
        if kind == b"eXIf":
            return _of_tiff(file, at + 8)
        if kind == b"IEND":
            break
        at += 12 + length
    return UPRIGHT


def _of_tiff(file: BinaryIO, start: int) -> int:
    """Of the first directory of a TIFF, which Exif is as well."""
    order = {b"II": "<", b"MM": ">"}.get(_read(file, start, 2), "")
    if not order:
        return UPRIGHT
    (version,) = _unpacked(file, start + 2, f"{order}H")
    is_big = version == 43
    (at,) = _unpacked(file, start + 8, f"{order}Q") if is_big else _unpacked(file, start + 4, f"{order}I")
    (count,) = _unpacked(file, start + at, f"{order}Q" if is_big else f"{order}H")
    size, value_at = (20, 12) if is_big else (12, 8)
    at += 8 if is_big else 2
    for n in range(min(count, _MAX_STEPS)):
        entry = _read(file, start + at + n * size, size)
        if struct.unpack_from(f"{order}H", entry)[0] == _TAG:
            found: int = struct.unpack_from(f"{order}H", entry, value_at)[0]
            return found
    return UPRIGHT


def _unpacked(file: BinaryIO, at: int, form: str) -> tuple[int, ...]:
    return struct.unpack(form, _read(file, at, struct.calcsize(form)))


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
