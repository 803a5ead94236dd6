"""Secrets in parameters: the API shows a mask in the place of each, which is no value to send back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .schema_kinds import Schema, plain

MASK = "***"
# A schema may hold itself.
_DEEPEST = 100


def places(value: Any, at: str = "") -> Iterator[str]:
    """The pointers of the masks in it."""
    if value == MASK:
        yield at
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, f"{at}/{escaped(name)}")
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from places(inner, f"{at}/{n}")


def replaced(value: Any, by: str) -> Any:
    """A copy with something else in the place of each mask."""
    if value == MASK:
        return by
    if isinstance(value, dict):
        return {name: replaced(inner, by) for name, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, by) for inner in value]
    return value


def hidden(root: Schema, sub: Any, value: Any, depth: int = 0) -> Any:
    """A copy of parameters that were typed, with `…` in the place of each value that the schema calls a secret."""
    schema = plain(root, sub)[0]
    if schema.get("writeOnly") or depth > _DEEPEST:
        return "…"
    for way in (way for kind in ("anyOf", "oneOf", "allOf") for way in schema.get(kind) or ()):
        value = hidden(root, way, value, depth + 1)
    if isinstance(value, dict):
        named, others = schema.get("properties") or {}, schema.get("additionalProperties")
        return {name: hidden(root, named.get(name, others), inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [hidden(root, schema.get("items"), inner, depth + 1) for inner in value]
    return value


def still_empty(value: Any, given: list[str]) -> list[str]:
    """Those of the places where nothing has been typed since."""
    return [pointer for pointer in given if _at(value, pointer) == ""]


def _at(value: Any, pointer: str) -> Any:
    """None where there is no such place."""
    for part in pointer.split("/")[1:]:
        if isinstance(value, dict):
            value = value.get(part.replace("~1", "/").replace("~0", "~"))
        elif isinstance(value, list) and part.isascii() and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def escaped(name: str) -> str:
    """As a pointer has it."""
    return name.replace("~", "~0").replace("/", "~1")
