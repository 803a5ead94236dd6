"""The subschemas of a JSON Schema (2020-12), where each of them applies, and which of its references are allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..domain.pointers import escaped

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
    """Every subschema by its JSON pointer (RFC 6901); the root is ``""``.

    `order` holds all pointers, each after those that apply in place of it.
    """

    by_pointer: Mapping[str, Node]
    order: Sequence[str] = ()

    def in_place(self, pointer: str) -> Iterator[str]:
        """The subschemas that apply to the same value: those of combinators, and what `$ref` leads to."""
        node = self.by_pointer[pointer]
        if isinstance(node, bool):
            return
        yield from _children(node, pointer, IN_PLACE_ONE, IN_PLACE_LIST, IN_PLACE_MAP)
        if "$ref" in node:
            yield target(node["$ref"])

    def of_members(self, pointer: str) -> Iterator[str]:
        """The subschemas that apply to members of an object or to items of an array."""
        node = self.by_pointer[pointer]
        if not isinstance(node, bool):
            yield from _children(node, pointer, (*MEMBER_ONE, *ITEM_ONE), ITEM_LIST, MEMBER_MAP)


def target(ref: str) -> str:
    """The pointer that `#/...` leads to."""
    return ref.removeprefix("#")


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
    for pointer, node in found.items():
        if isinstance(node, dict) and "$ref" in node and target(node["$ref"]) not in found:
            raise SchemaRefused(f"{pointer[:100] or '/'}: `$ref` leads to no schema")
    order: dict[str, None] = {}
    for start in found:
        _order_from(made, start, order)
    return replace(made, order=tuple(order))


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


def _order_from(found: Subschemas, start: str, order: dict[str, None]) -> None:
    """Adds `start` to the order, after what applies in place of it.

    Raises SchemaRefused where a value would have to be valid by a schema that refers back to itself.
    """
    if start in order:
        return
    # Not recursive: a chain of references may be longer than Python's stack.
    path = [(start, found.in_place(start))]
    on_path = {start}
    while path:
        pointer, children = path[-1]
        inner = next(children, None)
        if inner is None:
            path.pop()
            on_path.discard(pointer)
            order[pointer] = None
        elif inner in on_path:
            raise SchemaRefused(f"{inner[:100] or '/'}: the schema refers to itself for the same value")
        elif inner not in order:
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
    for key in (*one, *many, *named):
        if key not in node:
            continue
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
