"""Measures the memory that a raster takes while it is made: `make geo-memory`.

The peak is that of the process that makes it (the kernel's ru_maxrss), for images of 20,000 x 20,000 pixels of noise,
which are 1.1 GiB when they are decoded.
"""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from taskyard_kits.geo import process

SIDE = 20_000
_AT_ONCE = 100
BOUNDS = [1_000_000, 6_000_000, 1_000_000 + SIDE, 6_000_000 + SIDE]
PLACE = {"bounds": BOUNDS, "control_points": None, "crs": "EPSG:3857", "is_raster": False}
OWN = {"bounds": None, "control_points": None, "crs": None, "is_raster": False}
CASES = {
    "PNG with bounds": ("png", PLACE),
    "PNG that lies on its side (Exif)": ("turned", PLACE),
    "GeoTIFF in strips, as it lies": ("tiff", OWN),
}


def main() -> None:
    for name in CASES:
        subprocess.run([sys.executable, "-m", __spec__.name, name], check=True)


def measure(name: str) -> None:
    kind, wish = CASES[name]
    with tempfile.TemporaryDirectory() as home:
        image, directory = Path(home) / "image", Path(home) / "made"
        directory.mkdir()
        (write_tiff if kind == "tiff" else write_png)(image, is_turned=kind == "turned")
        began = time.monotonic()
        with (
            image.open("rb") as file,
            process.started(file, directory, process.CONVERTER_BYTES, lambda: None) as converter,
        ):
            converter.tell(json.dumps(wish))
            converter.answer()
            converter.tell("go on")
            while "made" not in converter.answer():
                pass
        took = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        sizes = [path.stat().st_size >> 20 for path in (image, *directory.iterdir())]
    sys.stdout.write(f"{name:34} peak {peak:4.0f} MiB, {took:3.0f} s, {sizes[0]} MiB -> {sizes[1]} MiB\n")


def rows() -> Iterator[bytes]:
    """Of the image, each of red, green and blue. A picture with some noise: pure noise would measure zlib."""
    random = np.random.default_rng(7)
    slope = np.repeat(np.linspace(0, 200, SIDE).astype(np.uint8), 3)
    for _ in range(SIDE):
        yield (slope + random.integers(0, 16, 3 * SIDE, dtype=np.uint8)).tobytes()


def write_png(path: Path, *, is_turned: bool) -> None:
    packed = zlib.compressobj(1)
    exif = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)))
        file.write(chunk(b"eXIf", exif) if is_turned else b"")
        for row in rows():
            if data := packed.compress(b"\0" + row):
                file.write(chunk(b"IDAT", data))
        file.write(chunk(b"IDAT", packed.flush()) + chunk(b"IEND", b""))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_tiff(path: Path, *, is_turned: bool) -> None:
    place = rasterio.Affine(1, 0, BOUNDS[0], 0, -1, BOUNDS[3])
    options: dict[str, Any] = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "interleave": "pixel"}
    options |= {"compress": "deflate", "zlevel": 1, "crs": "EPSG:3857", "transform": place}
    with rasterio.open(path, "w", driver="GTiff", **options) as dataset:
        every = rows()
        for first in range(0, SIDE, _AT_ONCE):
            block = b"".join(next(every) for _ in range(_AT_ONCE))
            pixels = np.frombuffer(block, np.uint8).reshape(_AT_ONCE, SIDE, 3).transpose(2, 0, 1)
            dataset.write(pixels, window=rasterio.windows.Window(0, first, SIDE, _AT_ONCE))


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
