"""The type of a file by what is in it. What its sender says of it is taken only where the content agrees.

Names and headers lie, and a browser that believes them runs what it was told is an image.
"""

from __future__ import annotations

import codecs

import falcon
import puremagic

UNKNOWN = "application/octet-stream"
_TEXT = "text/plain"
HEAD_BYTES = 4096
# Shorter signatures are found by chance, and in texts: BM, MZ; ID3. Two bytes are enough for what the sender says, too.
_SIGNATURE_BYTES = 3
_SIGNATURE_BYTES_IN_TEXT = 4
_SIGNATURE_BYTES_AS_TOLD = 2
# Formats that are ZIP files: which one, the first bytes do not tell.
_ZIP = b"PK\x03\x04"
_ALIASES = {
    "application/x-gzip": "application/gzip",
    "image/jpg": "image/jpeg",
    "image/x-bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
    "text/xml": "application/xml",
}
# Beside text/*: types that are text, of which any text may be one.
_TEXTUAL = frozenset({
    "application/geo+json", "application/json", "application/ld+json", "application/x-ndjson", "application/yaml",
    "application/jsonl",
})  # fmt: skip
# Types of text that run in a browser: only where they are found.
_ACTIVE = frozenset({"text/ecmascript", "text/html", "text/javascript"})
# Of a text: bytes that no text has.
_BINARY = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


def type_of(head: bytes, told: str) -> str:
    """The type of a file that begins with `head` (`HEAD_BYTES` of it, or all); `told`: what its sender says it is."""
    media = falcon.parse_header(told)[0].lower()
    media = _ALIASES.get(media, media)
    is_text = _is_text(head)
    if not is_text and media in _candidates(head, _SIGNATURE_BYTES_AS_TOLD):
        return media
    found = _candidates(head, _SIGNATURE_BYTES_IN_TEXT if is_text else _SIGNATURE_BYTES)
    if media in found:
        return media
    if head.startswith(_ZIP):
        return "application/zip"
    if found:
        return found[0]
    if not is_text or not head:
        return UNKNOWN
    is_textual = media.startswith("text/") or media in _TEXTUAL
    return told if is_textual and media not in _ACTIVE else _TEXT


def _candidates(head: bytes, shortest: int) -> list[str]:
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):  # nothing found; nothing there
        return []
    types = [m.mime_type for m in matches if m.mime_type and len(m.byte_match or b"") >= shortest]
    return [_ALIASES.get(found, found) for found in types]


def _is_text(head: bytes) -> bool:
    try:
        # A character may be cut at the end of the head.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not head.translate(None, bytes(set(range(256)) - set(_BINARY)))
