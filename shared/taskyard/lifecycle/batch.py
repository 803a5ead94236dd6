"""Batches as one JSON parameter, and what PostgreSQL cannot hold in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson

MAX_DEPTH = 32


class Unstorable(ValueError):
    """A value that JSON or PostgreSQL's jsonb cannot hold; `pointer` (RFC 6901) names the place."""

    def __init__(self, message: str, pointer: str) -> None:
        super().__init__(f"{message} at {pointer or '/'}")
        self.message = message
        self.pointer = pointer


def encode(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as the JSON text a verb's statement takes; UUIDs and aware datetimes are understood."""
    return orjson.dumps(rows, option=orjson.OPT_UTC_Z).decode()


def check_storable(value: Any, *, max_depth: int = MAX_DEPTH, pointer: str = "") -> None:
    """Refuses what would fail inside PostgreSQL and take a batch of strangers with it.

    Raises Unstorable for a NUL character, a lone surrogate, a number that is not finite, an integer beyond 64 bits,
    a key that is not a string, too deep nesting, and types JSON does not know.
    """
    stack: list[tuple[Any, str, int]] = [(value, pointer, 1)]
    while stack:
        item, where, depth = stack.pop()
        if depth > max_depth:
            raise Unstorable(f"nested deeper than {max_depth} levels", where)
        match item:
            case None | bool():
                pass
            case str():
                _check_text(item, where)
            case int():
                if not -(2**63) <= item < 2**64:
                    raise Unstorable("the number is out of range", where)
            case float():
                if not math.isfinite(item):
                    raise Unstorable("the number is not finite", where)
            case dict():
                for key, inner in item.items():
                    if not isinstance(key, str):
                        raise Unstorable("keys must be text", where)
                    _check_text(key, where)
                    stack.append((inner, f"{where}/{key.replace('~', '~0').replace('/', '~1')}", depth + 1))
            case list() | tuple():
                stack.extend((inner, f"{where}/{n}", depth + 1) for n, inner in enumerate(item))
            case _:
                raise Unstorable(f"{type(item).__name__} is not JSON", where)


def _check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise Unstorable("the NUL character cannot be stored", where)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unstorable("a lone surrogate is not text", where) from None
