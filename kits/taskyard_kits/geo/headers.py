"""What the head of an image tells that GDAL does not, or of some formats only; read in a bounded number of steps.

How it has to be turned to stand upright (Exif 2.32, tag 0x0112), whether it can be decoded row by row, and of a TIFF
what its samples mean (TIFF 6.0, PhotometricInterpretation) and whether they are multiplied by their alpha
(ExtraSamples).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

UPRIGHT = 1
_PHOTOMETRIC, _ORIENTATION, _EXTRA_SAMPLES = 0x0106, 0x0112, 0x0152
# White is zero, black is zero, RGB, palette, and YCbCr, which GDAL makes RGB (TIFF 6.0, PhotometricInterpretation).
# Not among them: masks, CMYK, CIELab, ICCLab, ITULab, LogL, LogLuv, and what sensors give (CFA, LinearRaw).
_SHOWN_COLOURS = {0, 1, 2, 3, 6}
# A value of a directory: byte, short, long.
_VALUE_FORMS = {1: "B", 3: "H", 4: "I"}
_ASSOCIATED_ALPHA = 1
# More segments or chunks in front of the pixels have not been seen, nor more entries in a directory.
_MAX_STEPS = 1000
# SOF0 to SOF15 (ITU-T T.81, table B.1), without DHT, JPG and DAC, which stand between them.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


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


def is_decoded_whole(file: BinaryIO, driver: str) -> bool:
    """An interlaced PNG has its rows, and a progressive JPEG its precision, spread over the whole file."""
    try:
        match driver:
            case "JPEG":
                frame = next((kind for kind, _ in _jpeg_segments(file) if kind in _FRAMES), 0)
                return frame in _PROGRESSIVE
            case "PNG":
                return _unpacked(file, 28, ">B") != (0,)
    except (struct.error, OverflowError, OSError):
        pass
    return False


def has_multiplied_colours(file: BinaryIO, driver: str) -> bool:
    try:
        return driver == "GTiff" and _ASSOCIATED_ALPHA in _values_of_tiff(file, 0, _EXTRA_SAMPLES)
    except (struct.error, OverflowError, OSError):
        return False


def has_unshown_colours(file: BinaryIO, driver: str) -> bool:
    """Whether the samples of a TIFF are in a colour space that GDAL gives as it stands in the file."""
    try:
        return driver == "GTiff" and (_first_of_tiff(file, 0, _PHOTOMETRIC) or 0) not in _SHOWN_COLOURS
    except (struct.error, OverflowError, OSError):
        return False


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """The kind of each in front of the pixels, and where its content begins."""
    at = 2
    for _ in range(_MAX_STEPS):
        mark, kind, length = _unpacked(file, at, ">BBH")
        if mark != 0xFF or kind in {0xDA, 0xD9}:
            return
        yield kind, at + 4
        at += 2 + length


def _of_jpeg(file: BinaryIO) -> int:
    """Of the first APP1 segment with Exif."""
    for kind, at in _jpeg_segments(file):
        if kind == 0xE1 and _read(file, at, 6) == b"Exif\0\0":
            return _of_tiff(file, at + 6)
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
    return _first_of_tiff(file, start, _ORIENTATION) or UPRIGHT


def _first_of_tiff(file: BinaryIO, start: int, tag: int) -> int | None:
    """The value of a tag of the first directory, where it is a single one."""
    values = _values_of_tiff(file, start, tag)
    return values[0] if len(values) == 1 else None


def _values_of_tiff(file: BinaryIO, start: int, tag: int) -> tuple[int, ...]:
    """The values of a tag of the first directory of a TIFF, which Exif is as well, where they are of up to 32 bits:
    1,000 at most."""
    order = {b"II": "<", b"MM": ">"}.get(_read(file, start, 2), "")
    if not order:
        return ()
    is_big = _unpacked(file, start + 2, f"{order}H") == (43,)
    (at,) = _unpacked(file, start + 8, f"{order}Q") if is_big else _unpacked(file, start + 4, f"{order}I")
    (count,) = _unpacked(file, start + at, f"{order}Q" if is_big else f"{order}H")
    at, form = start + at + (8 if is_big else 2), f"{order}HHQ" if is_big else f"{order}HHI"
    entry_bytes, word = (20, "Q") if is_big else (12, "I")
    for n in range(min(count, _MAX_STEPS)):
        found, kind, values = _unpacked(file, at + n * entry_bytes, form)
        if found == tag and kind in _VALUE_FORMS:
            there = at + n * entry_bytes + struct.calcsize(form)
            all_values = f"{order}{min(values, _MAX_STEPS)}{_VALUE_FORMS[kind]}"
            if values * struct.calcsize(f"{order}{_VALUE_FORMS[kind]}") > struct.calcsize(word):
                # They stand elsewhere.
                there = start + _unpacked(file, there, f"{order}{word}")[0]
            return _unpacked(file, there, all_values)
    return ()


def _unpacked(file: BinaryIO, at: int, form: str) -> tuple[int, ...]:
    return struct.unpack(form, _read(file, at, struct.calcsize(form)))


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
