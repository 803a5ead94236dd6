"""Values of records from strangers' JSON: bounded, and changed by no step on their way into PostgreSQL."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Annotated, Any, NoReturn

import orjson
from pydantic import Field

from taskyard.store.records import COLLECTION, MAX_KEY_BYTES

MAX_RECORD_BYTES = 128 * 1024
# Of lists and objects within each other. orjson writes 254, and a record is written within an object of its chunk.
MAX_DEPTH = 200
_MOST, _LEAST = 2**63 - 1, -(2**63)
_DIGITS = 20
# PostgreSQL writes out the zeros of 1e300. The same in a text only costs a look at the values.
_EXPONENT = re.compile(rb"[0-9]e[+-]?[0-9]")

CollectionName = Annotated[
    str,
    Field(
        pattern=COLLECTION,
        description="Which records they become: 100 letters, digits, `.`, `_` and `-` at most.",
        examples=["customers"],
    ),
]


class Unstorable(ValueError):
    """`reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


REASONS = ("json", "number", "text", "too_large", "depth", "key_missing", "key_unusable", "not_an_object")


def read_json(text: str | bytes) -> Any:
    """The value, with integers as they are. Raises Unstorable: for what is no JSON, and for a number that a reader of
    JSON would change (beyond 64 bits, or not finite)."""
    try:
        return json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_refused)
    except Unstorable:
        raise
    except (ValueError, RecursionError):
        raise Unstorable("json") from None


def checked(value: Any) -> Any:
    """The value, where PostgreSQL holds it as JSON. Raises Unstorable."""
    try:
        encoded = orjson.dumps(value)
    except (TypeError, ValueError):  # half a surrogate pair, or deeper than 254 levels
        raise Unstorable("depth" if _is_deep(value) else "text") from None
    size = len(encoded)
    if size <= MAX_RECORD_BYTES and _EXPONENT.search(encoded):
        size += _zeros(value)
    if size > MAX_RECORD_BYTES:
        raise Unstorable("too_large")
    if _may_be_deep(encoded) and _is_deep(value):
        raise Unstorable("depth")
    # A NUL; an escaped backslash before it is told apart by looking at the value as a whole.
    if rb"\u0000" in encoded and _has_nul(value):
        raise Unstorable("text")
    return value


def key_of(value: Any) -> str:
    """The key that a value stands for: a text or a whole number. Raises Unstorable."""
    if value is None or value == "":
        raise Unstorable("key_missing")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or "\0" in value:
        raise Unstorable("key_unusable")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise Unstorable("key_unusable") from None
    if size > MAX_KEY_BYTES:
        raise Unstorable("key_unusable")
    return value


def _may_be_deep(encoded: bytes) -> bool:
    return encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH


def _is_deep(value: Any, levels: int = MAX_DEPTH) -> bool:
    match value:
        case dict():
            return not levels or any(_is_deep(one, levels - 1) for one in value.values())
        case list():
            return not levels or any(_is_deep(one, levels - 1) for one in value)
    return False


def _zeros(value: Any) -> int:
    """By how many characters the numbers become longer without an exponent."""
    match value:
        case float() if "e" in (text := repr(value)):
            return len(format(Decimal(text), "f")) - len(text)
        case dict():
            return sum(map(_zeros, value.values()))
        case list():
            return sum(map(_zeros, value))
    return 0


def _has_nul(value: Any) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in name or _has_nul(one) for name, one in value.items())
        case list():
            return any(map(_has_nul, value))
    return False


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS or not _LEAST <= (number := int(digits)) <= _MOST:
        raise Unstorable("number")
    return number


def _float(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise Unstorable("number")
    return number


def _refused(_: str) -> NoReturn:
    raise Unstorable("number")
