"""The subschemas of a JSON Schema (2020-12), where each of them applies, and which of its references are allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Apply to the same value as the schema they stand in.
IN_PLACE_ONE = ("not", "if", "then", "else")
IN_PLACE_LIST = ("allOf", "anyOf", "oneOf")
IN_PLACE_MAP = ("dependentSchemas",)
# Apply to members of an object, or to items of an array.
MEMBER_ONE = ("additionalProperties", "propertyNames")
MEMBER_MAP = ("properties", "patternProperties")
ITEM_ONE = ("items", "contains")
ITEM_LIST = ("prefixItems",)
_STORE = ("$defs", "definitions")

_ONE = (*IN_PLACE_ONE, *MEMBER_ONE, *ITEM_ONE)
_LIST = (*IN_PLACE_LIST, *ITEM_LIST)
_MAP = (*IN_PLACE_MAP, *MEMBER_MAP, *_STORE)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SUBSCHEMAS = 4_000
MAX_DEPTH = 32
# They move the base of references, need the history of a validation, or belong to other drafts.
_REFUSED = frozenset({
    *("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "id"),
    *("unevaluatedProperties", "unevaluatedItems", "dependencies", "additionalItems"),
})  # fmt: skip

Json = Any
Node = Mapping[str, Json] | bool


class SchemaRefused(ValueError):
    """The platform does not take this schema; the message says why, for the author of the task type."""


@dataclass(frozen=True, slots=True)
class Subschemas:
    """Every subschema by its JSON pointer (RFC 6901); the root is ``""``."""

    by_pointer: Mapping[str, Node]

    def target(self, ref: str) -> str:
        """The pointer that `#/...` leads to."""
        return ref.removeprefix("#")

    def in_place(self, pointer: str) -> Iterator[str]:
        """The subschemas that apply to the same value: those of combinators, and what `$ref` leads to."""
        node = self.by_pointer[pointer]
        if isinstance(node, bool):
            return
        yield from _children(node, pointer, IN_PLACE_ONE, IN_PLACE_LIST, IN_PLACE_MAP)
        if "$ref" in node:
            yield self.target(node["$ref"])


def subschemas(schema: Json) -> Subschemas:
    """Walks a schema. Raises SchemaRefused for what the platform does not take in one."""
    found: dict[str, Node] = {}
    waiting: list[tuple[str, Json, int]] = [("", schema, 0)]
    while waiting:
        pointer, node, depth = waiting.pop()
        if depth > MAX_DEPTH or len(found) >= MAX_SUBSCHEMAS:
            raise SchemaRefused(f"a schema has at most {MAX_SUBSCHEMAS} subschemas, {MAX_DEPTH} levels deep")
        if not isinstance(node, dict | bool):
            raise SchemaRefused(f"{pointer[:100] or '/'}: a schema is an object, true or false")
        found[pointer] = node
        if isinstance(node, dict):
            _check_keywords(node, pointer)
            waiting += [(inner, _at(node, pointer, inner), depth + 1) for inner in _children(node, pointer)]
    made = Subschemas(found)
    _check_refs(made)
    return made


def escaped(name: str) -> str:
    """One part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _check_keywords(node: Mapping[str, Json], pointer: str) -> None:
    refused = _REFUSED & node.keys()
    if refused:
        raise SchemaRefused(f"{pointer[:100] or '/'}: `{min(refused)}` is not taken in a schema")
    if "$schema" in node and (pointer or node["$schema"] not in {DIALECT, DIALECT + "#"}):
        raise SchemaRefused("`$schema` may only name JSON Schema 2020-12, at the root")
    if not isinstance(node.get("x-message", ""), str) or len(node.get("x-message", "")) > 300:
        raise SchemaRefused(f"{pointer[:100] or '/'}: `x-message` is a text of at most 300 characters")
    ref = node.get("$ref", "#")
    if not isinstance(ref, str) or "%" in ref or not (ref == "#" or ref.startswith("#/")):
        raise SchemaRefused(f"{pointer[:100] or '/'}: `$ref` may only lead to a place in the same schema: #/...")


def _check_refs(found: Subschemas) -> None:
    for pointer, node in found.by_pointer.items():
        if isinstance(node, dict) and "$ref" in node and found.target(node["$ref"]) not in found.by_pointer:
            raise SchemaRefused(f"{pointer[:100] or '/'}: `$ref` leads to no schema")
    finished: set[str] = set()
    for start in found.by_pointer:
        _check_cycle(found, start, finished)


def _check_cycle(found: Subschemas, start: str, finished: set[str]) -> None:
    """Raises SchemaRefused where a value would have to be valid by a schema that refers back to itself."""
    if start in finished:
        return
    path = [(start, found.in_place(start))]
    on_path = {start}
    while path:
        pointer, children = path[-1]
        inner = next(children, None)
        if inner is None:
            path.pop()
            on_path.discard(pointer)
            finished.add(pointer)
        elif inner in on_path:
            raise SchemaRefused(f"{inner[:100] or '/'}: the schema refers to itself for the same value")
        elif inner not in finished:
            on_path.add(inner)
            path.append((inner, found.in_place(inner)))


def _children(
    node: Mapping[str, Json],
    pointer: str,
    one: tuple[str, ...] = _ONE,
    many: tuple[str, ...] = _LIST,
    named: tuple[str, ...] = _MAP,
) -> Iterator[str]:
    """The pointers of subschemas under these keywords. What has another shape is left to the meta-schema."""
    for key in node.keys() & {*one, *many, *named}:
        value = node[key]
        if key in one:
            yield f"{pointer}/{key}"
        elif key in many and isinstance(value, list):
            yield from (f"{pointer}/{key}/{n}" for n in range(len(value)))
        elif key in named and isinstance(value, dict):
            yield from (f"{pointer}/{key}/{escaped(name)}" for name in value)


def _at(node: Mapping[str, Json], pointer: str, inner: str) -> Json:
    key, _, part = inner[len(pointer) + 1 :].partition("/")
    value = node[key]
    if isinstance(value, list) and part:
        return value[int(part)]
    if isinstance(value, dict) and key in _MAP:
        return value[part.replace("~1", "/").replace("~0", "~")]
    return value
