"""What kind of field a place of a JSON Schema needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
# Beyond it, an object is a text of JSON.
_DEEPEST = 4
_PLAIN = frozenset({"string", "integer", "number", "boolean"})


def kind_of(root: Schema, schema: Schema, depth: int) -> str:
    """string, integer, number, boolean, enum, array (one value a line), union (text, or a scalar of another kind),
    object (with fields of its own) or json. `schema`: as `plain` answers."""
    if "enum" in schema or "const" in schema:
        return "enum"
    kind = schema.get("type")
    if isinstance(kind, str) and kind in _PLAIN:
        return kind
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        items = plain(root, schema["items"])[0]
        is_scalar = isinstance(items.get("type"), str) and items["type"] in _PLAIN - {"boolean"}
        return "array" if is_scalar and "enum" not in items else "json"
    is_closed = schema.get("additionalProperties") in (None, False)
    if kind == "object" and schema.get("properties") and is_closed and depth < _DEEPEST:
        return "object"
    return _of_several(_kinds(root, schema))


def _kinds(root: Schema, schema: Schema) -> set[Any]:
    """The types that a value may have; None among them: any."""
    if isinstance(kinds := schema.get("type"), list):
        return set(kinds)
    ways = schema.get("anyOf") or schema.get("oneOf") or ()
    found = [plain(root, way)[0].get("type") for way in ways]
    return {kind if isinstance(kind, str) else None for kind in found}


def _of_several(kinds: set[Any]) -> str:
    if kinds == {"integer", "number"}:
        return "number"
    return "union" if "string" in kinds and kinds <= _PLAIN else "json"


def plain(root: Schema, sub: Any) -> tuple[Schema, bool]:
    """The schema without references and without its being nullable, and whether it is."""
    found: dict[str, Any] = dict(sub) if isinstance(sub, Mapping) else {}
    nullable = False
    for _ in range(8):  # a reference may lead in a circle
        if isinstance(ref := found.get("$ref"), str):
            rest = {name: value for name, value in found.items() if name != "$ref"}
            found = {**_referred(root, ref), **rest}
        elif isinstance(ways := found.get("anyOf"), list):
            others = [way for way in ways if way != {"type": "null"}]
            nullable = nullable or len(others) < len(ways)
            if len(others) != 1:
                found["anyOf"] = others
                break
            rest = {name: value for name, value in found.items() if name != "anyOf"}
            found = {**(dict(others[0]) if isinstance(others[0], Mapping) else {}), **rest}
        elif isinstance(kinds := found.get("type"), list):
            others = [kind for kind in kinds if kind != "null"]
            nullable = nullable or len(others) < len(kinds)
            found["type"] = others[0] if len(others) == 1 else others
            break
        else:
            break
    return found, nullable


def _referred(root: Schema, ref: str) -> Schema:
    """Only inside the document, as the API holds it, too."""
    found: Any = root
    for part in ref.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def options_of(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema["enum"])
