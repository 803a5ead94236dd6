"""Whether a file is a COG, by the bytes: what OGC 21-026 asks of one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

_WIDTH, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _SUBFILE = 256, 322, 323, 324, 325, 254
_FORMS = {3: "H", 4: "I", 16: "Q"}
_REDUCED = 1


def faults_of(path: Path) -> list[str]:
    """What keeps it from being one; nothing where it is one. For little-endian TIFF and BigTIFF."""
    data = path.read_bytes()
    directories = _directories(data)
    faults = []
    if not all(_TILE_WIDTH in d and d[_TILE_WIDTH][0] % 16 == d[_TILE_HEIGHT][0] % 16 == 0 for d in directories):
        return ["not in tiles"]
    full, *overviews = directories
    if max(full[_WIDTH][0], 0) > 512 and not overviews:
        faults.append("no overviews")
    if not all(d[_SUBFILE][0] & _REDUCED for d in overviews):
        faults.append("an overview that is not marked as one")
    widths = [d[_WIDTH][0] for d in directories]
    if widths != sorted(widths, reverse=True):
        faults.append("overviews are not ordered by size")
    places = [d["at"][0] for d in directories]
    first_pixel = min(min(filter(None, d[_TILE_OFFSETS])) for d in directories)
    if places != sorted(places) or places[-1] > first_pixel:
        faults.append("directories behind pixels")
    # The smallest overview comes first, the full image last.
    starts = [min(filter(None, d[_TILE_OFFSETS])) for d in directories]
    if starts != sorted(starts, reverse=True):
        faults.append("pixels of overviews behind those of the image")
    for d in directories:
        ends = [at + size for at, size in zip(d[_TILE_OFFSETS], d[_TILE_COUNTS], strict=True)]
        if max(ends) > len(data):
            faults.append("cut off")
    return faults


def _directories(data: bytes) -> list[dict[Any, Any]]:
    is_big = data[:4] == b"II+\0"
    assert is_big or data[:4] == b"II*\0"
    counted, pointer, entry_size, value_at = ("<Q", "<Q", 20, 12) if is_big else ("<H", "<I", 12, 8)
    (at,) = struct.unpack_from(pointer, data, 8 if is_big else 4)
    found = []
    while at:
        directory: dict[Any, Any] = {"at": [at], _SUBFILE: [0]}
        (count,) = struct.unpack_from(counted, data, at)
        entries = at + struct.calcsize(counted)
        for n in range(count):
            tag, kind = struct.unpack_from("<HH", data, entries + n * entry_size)
            (values,) = struct.unpack_from(pointer, data, entries + n * entry_size + 4)
            if kind in _FORMS:
                form = f"<{values}{_FORMS[kind]}"
                where = entries + n * entry_size + value_at
                if struct.calcsize(form) > struct.calcsize(pointer):
                    (where,) = struct.unpack_from(pointer, data, where)
                directory[tag] = struct.unpack_from(form, data, where)
        found.append(directory)
        (at,) = struct.unpack_from(pointer, data, entries + count * entry_size)
    return found
