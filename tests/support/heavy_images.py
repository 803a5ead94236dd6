"""Images whose decoding takes much memory for the length of their files, and files that seem to be images and do."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

SIDE = 4_000
# As large as is read at all.
MOST = 8_000
MIB = 1024**2


# What becomes of those whose metadata are too much; all others are decoded.
REFUSED = {
    "PNG, texts that unpack to more": "image_needs_memory",
    "PNG, a chunk of 60 MiB": "image_needs_memory",
    "PNG, a profile that unpacks to more": "image_damaged",
    "TIFF, a profile of 60 MiB": "image_needs_memory",
    "JPEG, markers of 60 MiB": "image_needs_memory",
    "WebP, metadata of 60 MiB": "image_needs_memory",
    "GIF, comments of 60 MiB": "image_needs_memory",
}


def heavy_images() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """A name, and what makes the file."""
    for name, depth, colour, interlaced in [
        ("1 bit grey", 1, 0, False),
        ("8 bits grey, interlaced", 8, 0, True),
        ("16 bits grey", 16, 0, False),
        ("16 bits RGB, interlaced", 16, 2, True),
        ("16 bits grey with alpha", 16, 4, False),
        ("16 bits RGBA, interlaced", 16, 6, True),
    ]:
        yield f"PNG, {name}", partial(png, SIDE, SIDE, depth, colour, interlaced=interlaced)
    yield "PNG, 1 bit palette with tRNS", lambda: png(MOST, MOST, 1, 3, transparent=True)
    yield "PNG, a row", lambda: png(16_000_000, 1, 8, 6)
    yield "PNG, a column", lambda: png(1, 16_000_000, 1, 0)
    yield "PNG, texts that unpack to more", png_of_texts
    yield "PNG, a chunk of 60 MiB", lambda: png(10, 10, 8, 2, chunks=chunk(b"teSt", bytes(60 * MIB)))
    yield "PNG, a profile that unpacks to more", png_of_profile
    for mode in ("F", "I"):
        yield f"TIFF, {mode}", partial(tiff, mode, "tiff_adobe_deflate", side=MOST)
    for mode, packed in [
        ("1", "packbits"), ("LA", "raw"), ("P", "tiff_lzw"), ("RGB", "raw"), ("RGBA", "tiff_lzw"), ("CMYK", "tiff_lzw"),
        ("I;16", "tiff_lzw"), ("LAB", "packbits"), ("YCbCr", "raw"), ("YCbCr", "jpeg"),
    ]:  # fmt: skip
        yield f"TIFF, {mode}, {packed}", partial(tiff, mode, packed)
    yield "TIFF, one strip", lambda: tiff("RGB", "tiff_adobe_deflate", rows=SIDE)
    yield "TIFF, one strip, not packed", lambda: tiff("RGB", "raw", rows=SIDE)
    yield "TIFF, one tile larger than the image", tiff_of_a_large_tile
    yield "TIFF, turned", lambda: tiff("F", "tiff_lzw", turned=6)
    yield "TIFF, a profile of 60 MiB", lambda: saved(Image.new("RGB", (9, 9)), "TIFF", icc_profile=bytes(60 * MIB))
    yield "TIFF, entries that share their bytes", tiff_of_shared_bytes
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            for sampling in (0, 2) if mode == "RGB" else (0,):
                name = f"JPEG, {mode}{', progressive' if progressive else ''}{', 4:2:0' if sampling else ''}"
                yield name, partial(jpeg, mode, progressive=progressive, subsampling=sampling)
    yield "JPEG, as large as is read", lambda: jpeg("RGB", MOST, progressive=True, subsampling=2)
    yield "JPEG, scans apart", jpeg_of_scans
    yield "JPEG, markers of 60 MiB", jpeg_of_markers
    yield "WebP", lambda: saved(noise("RGB"), "WEBP", method=0)
    clear = partial(Image.new, "RGBA", (SIDE, SIDE), (1, 2, 3, 4))
    yield "WebP, without loss", lambda: saved(clear(), "WEBP", lossless=True, method=0)
    yield "WebP, animated", lambda: animated("WEBP", minimize_size=False, method=0)
    yield "WebP, metadata of 60 MiB", lambda: saved(Image.new("RGB", (9, 9)), "WEBP", icc_profile=bytes(60 * MIB))
    yield "GIF", lambda: saved(Image.new("P", (SIDE, SIDE)), "GIF", transparency=0)
    yield "GIF, animated", lambda: animated("GIF")
    yield "GIF, comments of 60 MiB", gif_of_comments
    yield "BMP, 32 bits", lambda: saved(Image.new("RGBA", (SIDE, SIDE)), "BMP")
    yield "BMP, run lengths", bmp_of_runs


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, colour: int, *, interlaced: bool = False, transparent: bool = False,
    chunks: bytes = b"",
) -> bytes:  # fmt: skip
    """All of its samples are zero."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(1)
    packed = []
    for w, h in _passes(width, height) if interlaced else [(width, height)]:
        row = 1 + (w * bits + 7) // 8
        together = max(1, MIB // row)
        packed += [packer.compress(bytes(row * min(together, h - n))) for n in range(0, h, together)]
    data = b"".join([*packed, packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(3 << depth)) if colour == 3 else b""
    clear = chunk(b"tRNS", b"\0") if transparent else b""
    body = chunk(b"IHDR", head) + palette + clear + chunks + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _passes(width: int, height: int) -> Iterator[tuple[int, int]]:
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for x, y, dx, dy in starts:
        yield (width - x + dx - 1) // dx, (height - y + dy - 1) // dy


def png_of_texts() -> bytes:
    texts = PngInfo()
    for n in range(100):
        texts.add_text(f"text {n}", "x" * (MIB - 1), zip=True)
    return saved(Image.new("RGB", (10, 10)), "PNG", pnginfo=texts)


def png_of_profile() -> bytes:
    profile = b"profile\0\0" + zlib.compress(bytes(200 * MIB), 1)
    return png(10, 10, 8, 2, chunks=chunk(b"iCCP", profile))


def tiff(mode: str, packed: str, side: int = SIDE, *, rows: int | None = None, turned: int = 1) -> bytes:
    tags = ImageFileDirectory_v2()
    tags[0x0112] = turned
    if rows is not None:
        tags[0x0116] = rows
    options = {} if packed == "raw" else {"compression": packed}
    return saved(Image.new(mode, (side, side)), "TIFF", tiffinfo=tags, **options)


def _directory(entries: list[tuple[int, int, int, int]], at: int = 8) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<I", at) + struct.pack("<H", len(entries)) + packed + bytes(4)


def tiff_of_a_large_tile() -> bytes:
    side = 16 * 512
    data = zlib.compress(bytes(side * side * 3), 1)
    short, long = 3, 4
    entries = [
        (256, long, 1, 10), (257, long, 1, 10), (258, short, 1, 8), (259, short, 1, 8), (262, short, 1, 2),
        (277, short, 1, 3), (322, long, 1, side), (323, long, 1, side), (324, long, 1, 200), (325, long, 1, len(data)),
    ]  # fmt: skip
    return _directory(entries).ljust(200, b"\0") + data


def tiff_of_shared_bytes() -> bytes:
    """Each entry says that it has the same 8 MiB."""
    size, at = 8 * MIB, 16_384
    sized = [(256, 4, 1, 10), (257, 4, 1, 10), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, at), (279, 4, 1, 100)]
    return _directory(sized + [(n, 1, size, at) for n in range(40_000, 41_000)]).ljust(at, b"\0") + bytes(size)


def jpeg(mode: str, side: int = SIDE, **options: Any) -> bytes:
    return saved(Image.new(mode, (side, side), 77 if mode == "L" else 0x4D2277), "JPEG", **options)


def jpeg_of_scans() -> bytes:
    """The second of its components in a scan that never comes: a baseline image that libjpeg keeps as a whole."""
    content = bytearray(jpeg("RGB", subsampling=0))
    at = content.index(b"\xff\xda")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    return bytes(content[:at]) + scan + bytes(content[at + 14 :])


def jpeg_of_markers() -> bytes:
    marker = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)
    content = saved(Image.new("RGB", (10, 10)), "JPEG")
    return content[:2] + marker * (60 * MIB // len(marker)) + content[2:]


def noise(mode: str) -> Image.Image:
    return Image.effect_noise((SIDE // 4, SIDE // 4), 60).resize((SIDE, SIDE)).convert(mode)


def animated(kind: str, **options: Any) -> bytes:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "green", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def gif_of_comments() -> bytes:
    content = saved(Image.new("P", (10, 10)), "GIF")
    at = content.index(b",\0\0\0\0\x0a\0\x0a\0")
    blocks = (b"\xff" + b"c" * 255) * (60 * MIB // 256)
    return content[:at] + b"!\xfe" + blocks + b"\0" + content[at:]


def bmp_of_runs() -> bytes:
    """8 bits a pixel, packed: https://learn.microsoft.com/windows/win32/gdi/bitmap-compression"""
    row = b"\xff\x01" * (SIDE // 255) + bytes([SIDE % 255, 1]) + b"\0\0"
    data, palette = row * SIDE + b"\0\1", bytes(4 * 256)
    head = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, len(data), 0, 0, 256, 0)
    start = 14 + len(head) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start) + head + palette + data
