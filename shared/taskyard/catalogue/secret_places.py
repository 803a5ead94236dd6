"""Which places of parameters are secret, by their schema: those marked `writeOnly` or `format: password`.

A value is followed along the schema through every combinator, whether it matches or not: a place is secret as soon as
any subschema that may apply to it is marked. Too much sealed does no harm, because the worker opens every sealed value
before it validates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from ..domain.pointers import escaped
from .subschemas import SchemaRefused, Subschemas

Seal = Callable[[Any], Any]
# Sets of subschemas that are remembered. A value that needs more of them is sealed as a whole.
_MAX_STATES = 1_000


@dataclass(slots=True)
class _State:
    """The subschemas that may apply to a value, as far as they lead to a mark."""

    secret: bool
    pointers: tuple[str, ...]
    members: dict[str, _State | None] = field(default_factory=dict)
    patterns: list[tuple[Callable[[Any], bool], str]] = field(default_factory=list)
    items: dict[int, _State | None] = field(default_factory=dict)
    prefix: int = 0


class SecretPlaces:
    """Raises SchemaRefused where all parameters together, or the names of an object, are marked."""

    def __init__(self, parts: Subschemas) -> None:
        self._parts = parts
        self._leading = _leading(parts)
        self._states: dict[frozenset[str], _State | None] = {}
        self._sealed = _State(True, ())
        self._root = self._state({""} & self._leading)
        if self._root is not None and self._root.secret:
            raise SchemaRefused("the parameters as a whole cannot be secret: mark some of them")
        if any(pointer.endswith("/propertyNames") for pointer in self._leading):
            raise SchemaRefused("names cannot be secret: mark values")

    @property
    def is_empty(self) -> bool:
        return self._root is None

    def holds_secret(self, pointer: str) -> bool:
        """Whether the subschema, or one that it leads to, is marked."""
        return pointer in self._leading

    def forget_values(self) -> None:
        """Takes defaults and examples out of the schema where they may hold a secret: the worker's model has them."""
        for pointer in self._leading:
            node = self._parts.by_pointer[pointer]
            if isinstance(node, dict):
                node.pop("default", None)
                node.pop("examples", None)

    def sealed(self, value: Any, seal: Seal) -> Any:
        """The value with what is secret replaced by `seal` of it; null stays null. The value itself is not changed."""
        return value if self._root is None else self._at(self._root, value, seal)

    def _at(self, state: _State | None, value: Any, seal: Seal) -> Any:
        if state is None or value is None:
            return value
        if state.secret:
            return seal(value)
        if isinstance(value, dict):
            return {name: self._at(self._member(state, name), inner, seal) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._at(self._item(state, n), item, seal) for n, item in enumerate(value)]
        return value

    def _member(self, state: _State, name: str) -> _State | None:
        if name in state.members:
            return state.members[name]
        found: set[str] = set()
        for pointer in state.pointers:
            node = self._node(pointer)
            known = name in node.get("properties", ())
            if known:
                found.add(f"{pointer}/properties/{escaped(name)}")
            for pattern in node.get("patternProperties", ()):
                if self._pattern(state, pattern)(name):
                    known = True
                    found.add(f"{pointer}/patternProperties/{escaped(pattern)}")
            if not known and "additionalProperties" in node:
                found.add(f"{pointer}/additionalProperties")
        made = self._state(found & self._leading)
        if len(state.members) < _MAX_STATES:
            state.members[name] = made
        return made

    def _pattern(self, state: _State, pattern: str) -> Callable[[Any], bool]:
        for check, known in state.patterns:
            if known == pattern:
                return check
        check = jsonschema_rs.Draft202012Validator(
            {"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions()
        ).is_valid
        state.patterns.append((check, pattern))
        return check

    def _item(self, state: _State, n: int) -> _State | None:
        n = min(n, state.prefix)
        if n in state.items:
            return state.items[n]
        found: set[str] = set()
        for pointer in state.pointers:
            node = self._node(pointer)
            if n < len(node.get("prefixItems", ())):
                found.add(f"{pointer}/prefixItems/{n}")
            elif "items" in node:
                found.add(f"{pointer}/items")
            if "contains" in node:
                found.add(f"{pointer}/contains")
        made = state.items[n] = self._state(found & self._leading)
        return made

    def _state(self, pointers: Iterable[str]) -> _State | None:
        key = frozenset(pointers)
        if not key:
            return None
        if key not in self._states:
            if len(self._states) >= _MAX_STATES:
                return self._sealed
            self._states[key] = self._made(key)
        return self._states[key]

    def _made(self, pointers: frozenset[str]) -> _State:
        found: dict[str, None] = {}
        waiting = sorted(pointers)
        while waiting:
            pointer = waiting.pop()
            if pointer in self._leading and pointer not in found:
                found[pointer] = None
                waiting += self._parts.in_place(pointer)
        prefix = max(len(self._node(pointer).get("prefixItems", ())) for pointer in found)
        secret = any(_is_marked(self._parts.by_pointer[pointer]) for pointer in found)
        return _State(secret, tuple(found), prefix=prefix)

    def _node(self, pointer: str) -> Mapping[str, Any]:
        node = self._parts.by_pointer[pointer]
        return {} if isinstance(node, bool) else node


def _leading(parts: Subschemas) -> frozenset[str]:
    """The subschemas that are marked or lead to one that is."""
    above: dict[str, list[str]] = {}
    for pointer in parts.by_pointer:
        for inner in (*parts.in_place(pointer), *parts.of_members(pointer)):
            above.setdefault(inner, []).append(pointer)
    waiting = [pointer for pointer, node in parts.by_pointer.items() if _is_marked(node)]
    found: set[str] = set()
    while waiting:
        pointer = waiting.pop()
        if pointer not in found:
            found.add(pointer)
            waiting += above.get(pointer, ())
    return frozenset(found)


def _is_marked(node: Any) -> bool:
    if isinstance(node, bool):
        return False
    if node.get("writeOnly") is True or node.get("format") == "password":
        return True
    # JSON within a text: what is secret in it is known to the worker only.
    return "contentSchema" in node and any(
        mark in json.dumps(node["contentSchema"]) for mark in ('"password"', '"writeOnly"')
    )
