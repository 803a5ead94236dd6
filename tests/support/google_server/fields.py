"""Partial answers: the parameter `fields`, https://developers.google.com/workspace/sheets/api/guides/field-masks"""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(r"[A-Za-z]+|[(),/]")

Mask = dict[str, "Mask"]


def parse(text: str) -> Mask:
    """Raises ValueError for what is no mask."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text:
        raise ValueError(text)
    mask = _group(tokens)
    if tokens:
        raise ValueError(text)
    return mask


def _group(tokens: list[str]) -> Mask:
    mask: Mask = {}
    while tokens and tokens[0] != ")":
        at, name = mask, tokens.pop(0)
        at[name] = at.get(name, {})
        while tokens and tokens[0] == "/":
            tokens.pop(0)
            at, name = at[name], tokens.pop(0)
            at[name] = {}
        if tokens and tokens[0] == "(":
            tokens.pop(0)
            at[name] = _group(tokens)
            tokens.pop(0)
        if tokens and tokens[0] == ",":
            tokens.pop(0)
    return mask


def cut(value: Any, mask: Mask) -> Any:
    """What the mask leaves of a value; an empty mask leaves all of it."""
    if not mask:
        return value
    if isinstance(value, list):
        return [cut(entry, mask) for entry in value]
    return {name: cut(value[name], inner) for name, inner in mask.items() if name in value}
