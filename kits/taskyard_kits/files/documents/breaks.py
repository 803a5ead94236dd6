"""Places at which words may be broken that are wider than their line: in narrow cells of tables, and in code.

Without one the renderer prints them on, over the next cell or beyond the edge of the paper.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

Block = dict[str, Any]

# Of the text on each paper, in em of the text (10.5 points).
_ROOM = {"a4": 44.0, "us-letter": 45.5, "a5": 27.0}
_PLACE = "\u200b"
# A line may end at a space for certain where UAX #14 keeps neither the character before it with what follows, such as
# "(", nor the one after it with what stands before, such as "!". All between two such spaces is one word: also U+00A0,
# U+2007 and U+202F, which Python counts as white space, and "! ! !".
_SPACE, _BEFORE_BREAK = r" \t\u3000", r"\w!-'*-Z\\^_`|-~)\]\u00bb\u2013\u2019\u201d\u2026"
_AFTER_BREAK = r"\w\"-'*+<->@\\^`|~-"
_WORD = re.compile(
    rf"(?:[^{_SPACE}\n]|(?<=[^{_SPACE}{_BEFORE_BREAK}])[{_SPACE}]+|(?<![{_SPACE}])[{_SPACE}]++(?![{_AFTER_BREAK}]))+"
)
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")
# At least as wide as the letters of the fonts, in em.
_WIDE, _USUAL = 1.0, 0.63
_CODE_SIZE = 0.86  # of a letter of code, in text
_LARGEST_HEADING = 1.4
_INDENT = 2.0  # of lists and quotes
# Tables with more columns have smaller letters, down to half of the size.
_COLUMNS_AT_SIZE, _LEAST_SIZE = 9, 0.5
_PADDING = 1.0  # of a cell on both sides, in em of its text


def broken(blocks: list[Block], paper: str) -> list[Block]:
    """The same blocks, changed in place; tables get the `size` of their letters."""
    _break_all(blocks, _ROOM[paper])
    return blocks


def _break_all(blocks: list[Block], room: float) -> None:
    for block in blocks:
        match block["t"]:
            case "par":
                _break_spans(block["spans"], room)
            case "heading":
                _break_spans(block["spans"], room / _LARGEST_HEADING)
            case "code":
                block["s"] = _broken(block["s"], (room - _INDENT) / _CODE_SIZE)
            case "quote":
                _break_all(block["blocks"], room - _INDENT)
            case "list":
                for item in block["items"]:
                    _break_all(item, room - _INDENT)
            case "table":
                _break_table(block, room)


def _break_table(block: Block, room: float) -> None:
    columns = block["columns"]
    block["size"] = max(_LEAST_SIZE, min(1.0, _COLUMNS_AT_SIZE / columns))
    for cell in block["cells"]:
        # No column becomes narrower than its share.
        _break_all(cell["blocks"], room / block["size"] * cell["across"] / columns - _PADDING)


def _break_spans(spans: list[dict[str, Any]], room: float) -> None:
    """A word may go on in the next span."""
    text = "".join(span.get("s", "\n") for span in spans)
    is_wide = bytearray(len(text))
    for word in _WORD.finditer(text):
        if _width(word[0]) > room:
            is_wide[word.start() : word.end()] = b"\1" * len(word[0])
    if not any(is_wide):
        return
    at = 0
    for span in spans:
        told = span.get("s", "\n")
        if "s" in span:
            wide = is_wide[at : at + len(told)]
            span["s"] = "".join(_with_place(c) if w else c for c, w in zip(told, wide, strict=True))
        at += len(told)


def _broken(text: str, room: float) -> str:
    return _WORD.sub(lambda word: word[0] if _width(word[0]) <= room else "".join(map(_with_place, word[0])), text)


def _width(word: str) -> float:
    return sum(_WIDE if c.isupper() or c > "\u2000" or c in "mw@%" else _USUAL for c in word)


def _with_place(character: str) -> str:
    """Not within a letter that several characters make."""
    is_part = character in _JOINERS or unicodedata.category(character).startswith("M")
    return character if is_part else _PLACE + character
