"""Batches as one JSON parameter, and what PostgreSQL cannot hold in one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from ..domain.messages import Message, message
from ..domain.pointers import escaped

MAX_DEPTH = 32


class Unstorable(ValueError):
    """A value that JSON or PostgreSQL's jsonb cannot hold; `pointer` (RFC 6901) names the place."""

    def __init__(self, sentence: Message, pointer: str) -> None:
        super().__init__(f"{sentence.removesuffix('.')} at {pointer or '/'}")
        self.sentence = sentence
        self.pointer = pointer


def encode(rows: Sequence[object]) -> str:
    """The rows, dicts or dataclasses, as the JSON text a verb's statement takes; also UUIDs and aware datetimes."""
    return orjson.dumps(rows, option=orjson.OPT_UTC_Z).decode()


def check_storable(value: Any, *, max_depth: int = MAX_DEPTH, pointer: str = "") -> None:
    """Refuses what would fail inside PostgreSQL and take a batch of strangers with it.

    Raises Unstorable for a NUL character, a lone surrogate, a number that is not finite, an integer beyond
    64 bits, a key that is not a string, too deep nesting, and types JSON does not know.
    """
    try:
        _check(value, max_depth, max_depth)
    except Unstorable as e:
        raise Unstorable(e.sentence, pointer + e.pointer) from None


def _check(item: Any, left: int, max_depth: int) -> None:
    """Pointers are put together on the way back from a fault: making one for each item would take hundreds of bytes."""
    if left == 0:
        raise Unstorable(message("Nested deeper than {levels} levels.", levels=max_depth), "")
    match item:
        case None | bool():
            pass
        case str():
            _check_text(item)
        case int():
            if not -(2**63) <= item < 2**64:
                raise Unstorable(message("The number is out of range."), "")
        case dict():
            for key in item:
                if type(key) is not str:
                    raise Unstorable(message("Keys must be text."), "")
                _check_text(key)
            _check_inside(item.items(), left, max_depth)
        # Not subclasses of tuple and float: orjson refuses named tuples and other libraries' floats.
        case list() | tuple() if isinstance(item, list) or type(item) is tuple:
            _check_inside(enumerate(item), left, max_depth)
        case float() if type(item) is float:
            if not math.isfinite(item):
                raise Unstorable(message("The number is not finite."), "")
        case _:
            raise Unstorable(message("{type} is not JSON.", type=type(item).__name__), "")


def _check_inside(members: Iterable[tuple[object, Any]], left: int, max_depth: int) -> None:
    for place, inner in members:
        try:
            _check(inner, left - 1, max_depth)
        except Unstorable as e:
            raise Unstorable(e.sentence, f"/{escaped(place)}{e.pointer}") from None


def storable_text(text: str) -> str:
    """The text with U+FFFD in place of what PostgreSQL cannot hold: for words of tasks (log lines,
    messages), which must not be lost because a file name in them was not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text.replace("\x00", "\ufffd")


def storable(value: Any, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value with its texts made storable and what is not JSON in words."""
    match value:
        case str():
            return storable_text(value)
        case dict() if max_depth:
            return {storable_text(str(k)): storable(inner, max_depth=max_depth - 1) for k, inner in value.items()}
        case list() | tuple() if max_depth:
            return [storable(inner, max_depth=max_depth - 1) for inner in value]
        case _:
            try:
                check_storable(value, max_depth=1)
            except Unstorable:
                return storable_text(str(value)[:1000])
            return value


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise Unstorable(message("The NUL character cannot be stored."), "")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unstorable(message("A lone surrogate is not text."), "") from None
