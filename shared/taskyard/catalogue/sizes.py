"""Size: how much a JSON text holds, counted before it is parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_STRUCTURE = (b"[", b"{", b",", b":")
_NESTED = (dict, list, tuple)


@dataclass(frozen=True, slots=True)
class Size:
    """`bytes` of text; `values` in it, with the names of objects."""

    bytes: int
    values: int

    def fits(self, most: Size) -> bool:
        return self.bytes <= most.bytes and self.values <= most.values


def size_of(text: bytes | bytearray) -> Size:
    """The size of a JSON text, or more than that: each value and each name but the first has one of these characters
    before it, and texts may hold them, too."""
    return Size(len(text), 1 + sum(map(text.count, _STRUCTURE)))


def values_in(value: Any) -> int:
    """The values in a JSON value, with the names of objects."""
    count, waiting = 1, [value] if isinstance(value, _NESTED) else []
    while waiting:
        nested = waiting.pop()
        count += len(nested)
        inside = nested
        if isinstance(nested, dict):
            count += len(nested)
            inside = nested.values()
        waiting += [inner for inner in inside if isinstance(inner, _NESTED)]
    return count
