"""The Range header (RFC 9110, section 14): one range of bytes."""

from __future__ import annotations

import re

from .refusals import RangeNotSatisfiable

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and last byte, or None for the whole. As the RFC says, a malformed header and several ranges are
    ignored.

    Raises RangeNotSatisfiable.
    """
    match = _ONE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last n bytes
        length = int(match[2])
        if length == 0 or size == 0:
            raise RangeNotSatisfiable(size)
        return max(0, size - length), size - 1
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise RangeNotSatisfiable(size)
    return first, last
