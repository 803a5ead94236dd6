"""What hostile callers send, and how often."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from tests.support import hostile_bodies


@dataclass(frozen=True, slots=True)
class Hostile:
    """One turn sends `body` to `path`, `per_second` times."""

    name: str
    path: str
    body: bytes
    per_second: float


def one(name: str, params: dict[str, Any], **more: Any) -> bytes:
    return orjson.dumps({"name": name, "params": params, "max_attempts": 1, **more})


def mail(html: str) -> dict[str, Any]:
    return {"to_email": "a@example.org", "subject": "x", "html_content": html}


def sick(do: str, **more: Any) -> bytes:
    return one("tests.sick", {"do": do, **more})


def hostiles(image: str) -> Iterator[Hostile]:
    """`image`: the id of the stored item that is an image bomb."""
    shortest = {"soft_timeout_seconds": 1.0, "hard_timeout_seconds": 1.0}
    batch, task = "/tasks/batch", "/tasks"
    yield Hostile("shortest limits", task, one("email.send", mail("<a " * 5_300), **shortest), 2)
    yield Hostile("C code past its limit", task, one("diagnostics.sleep", {"seconds": 30, "in_c": True}, **shortest), 1)
    yield Hostile("crashes", task, one("diagnostics.crash", {"times": 99}, max_attempts=3), 0.25)
    addresses = [hostile_bodies.mail(to_email=f"a@{hostile_bodies.letters(n, 1_000)}.com") for n in range(30)]
    yield Hostile("addresses of a thousand letters", batch, orjson.dumps({"tasks": addresses}), 4)
    patterns = [hostile_bodies.lines(f"(?i){n}" + r"\pL" * 98) for n in range(40)]
    yield Hostile("patterns for RE2", batch, orjson.dumps({"tasks": patterns}), 4)
    yield Hostile("16 MiB of [[]]", batch, b'{"tasks":[' + b"[[]]," * (16 * 1024**2 // 5 - 10) + b"0]}", 2)
    yield Hostile("HTML that never closes", task, one("email.send", mail("<a " * 10_000)), 1)
    yield Hostile("images that grow", task, one("files.generate_thumbnail", {"item_id": image}), 1)
    yield Hostile("SystemExit into other threads", task, one("starve.exit_others", {}), 0.5)
    yield Hostile("leaked descriptors", task, sick("leak_descriptors", number=20_000), 0.5)
    yield Hostile("forks that return", task, one("tests.fork", {"copy_does": "return"}), 1)
    yield Hostile("programs left behind", task, sick("leave_program", seconds=60), 1)


def growing_image() -> bytes:
    """A PNG of 8,000 x 8,000 pixels of one bit, with a palette and transparency: 8 KB, and 256 MB once decoded."""
    side = 8_000
    packed = zlib.compressobj(9)
    row = b"\0" * (1 + side // 8)
    pixels = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()
    file = io.BytesIO(b"")
    file.write(b"\x89PNG\r\n\x1a\n")
    header = struct.pack(">IIBBBBB", side, side, 1, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", b"\0" * 6), (b"tRNS", b"\0\xff"), (b"IDAT", pixels), (b"IEND", b"")]
    for kind, data in chunks:
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return file.getvalue()
