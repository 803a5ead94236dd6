"""Size: how much a JSON text holds, counted before it is parsed."""

from __future__ import annotations

from typing import Any, NamedTuple

# 64 bits hold any integer of 18 digits.
_MANY_DIGITS = b"0" * 19
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_NESTED = (dict, list, tuple)


class Size(NamedTuple):
    """`bytes` of text; `values` in it, with the names of objects."""

    bytes: int
    values: int

    def fits(self, most: Size) -> bool:
        return self.bytes <= most.bytes and self.values <= most.values


def size_of(text: bytes | bytearray) -> Size:
    """The size of a JSON text, or more than that: each value and each name but the first has one of these characters
    before it, and texts may hold them, too."""
    return Size(len(text), 1 + text.count(b"[") + text.count(b"{") + text.count(b",") + text.count(b":"))


def has_many_digits(text: bytes | bytearray) -> bool:
    """Whether there are 19 digits in a row, as there are in every integer beyond 64 bits. A tenth of a regular
    expression's time."""
    return _MANY_DIGITS in text.translate(_DIGITS_AS_ZEROS)


def values_in(value: Any) -> int:
    """The values in a JSON value, with the names of objects."""
    count = 1
    waiting: list[Any] = [value] if isinstance(value, _NESTED) else []
    while waiting:
        nested = waiting.pop()
        is_object = isinstance(nested, dict)
        count += 2 * len(nested) if is_object else len(nested)
        waiting += [inner for inner in (nested.values() if is_object else nested) if isinstance(inner, _NESTED)]
    return count
