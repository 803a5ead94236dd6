"""Fills in the defaults of a schema, compiled once a spec.

Defaults stand beside the properties they belong to. They are filled in along `properties`, `items`, `$ref` and `allOf`,
and through `anyOf` and `oneOf` where one alternative only can be meant (`Model | None`); the rest is left to the
worker's model. A default that holds a secret is never filled in: Pydantic writes it as `***`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from ..domain.pointers import escaped
from . import effort
from .effort import NotNow
from .sizes import size_of
from .subschemas import Subschemas, target

MAX_ADDED_BYTES = 256 * 1024
_BYTES_A_VALUE = 16
_NESTED = (dict, list)  # made once: every submit of a type with defaults passes here
Kind = Literal["object", "array"]


class TooMuchAdded(ValueError):
    """The defaults of all items together would be larger than 256 KiB, or those of the whole request too large."""


@dataclass(slots=True)
class _Plan:
    """What is done with one object or array. `fill` is (name, default, bytes, effort)."""

    fill: list[tuple[str, Any, int, int]] = field(default_factory=list)
    members: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def inner(self) -> Iterator[str]:
        for group in self.members.values():
            yield from group
        yield from self.rest

    def keep(self, busy: set[str]) -> None:
        # A name without work stays, or it would be taken for one of the rest.
        self.members = {name: [i for i in group if i in busy] for name, group in self.members.items()}
        self.rest = [i for i in self.rest if i in busy]


class Defaults:
    def __init__(self, parts: Subschemas, holds_secret: Callable[[str], bool]) -> None:
        self._parts = parts
        self._holds_secret = holds_secret
        # One for each place that is reached from the root; they may lead back to each other.
        self._objects: dict[str, _Plan] = {}
        self._arrays: dict[str, _Plan] = {}
        waiting = [""]
        while waiting:
            pointer = waiting.pop()
            if pointer not in self._objects:
                self._objects[pointer] = self._object_plan(pointer)
                self._arrays[pointer] = self._array_plan(pointer)
                for plan in (self._objects[pointer], self._arrays[pointer]):
                    waiting += plan.inner()
        self._drop_idle()

    @property
    def is_empty(self) -> bool:
        return "" not in self._objects and "" not in self._arrays

    def filled(self, value: Any) -> Any:
        """The value with defaults where names are missing; the value itself where none are.

        Raises TooMuchAdded, and NotNow where the effort of the request does not reach for them.
        """
        if self.is_empty:
            return value
        filling = _Filling(self._objects, self._arrays)
        made = filling.at("", value)
        spent = effort.current()
        if spent is not None:
            spent.added -= filling.effort
            if spent.added < 0:
                raise TooMuchAdded("the defaults of all tasks together are too large") if spent.is_most else NotNow
        return made

    def _object_plan(self, pointer: str) -> _Plan:
        plan = _Plan()
        for place in self._applying(pointer, "object"):
            node = self._node(place)
            for name, inner in node.get("properties", {}).items():
                at = f"{place}/properties/{escaped(name)}"
                plan.members.setdefault(name, []).append(at)
                if isinstance(inner, dict) and "default" in inner and not self._holds_secret(at):
                    size = size_of(orjson.dumps(inner["default"]))
                    added = len(name) + size.bytes + 4
                    plan.fill.append((name, inner["default"], added, added + _BYTES_A_VALUE * size.values))
            if isinstance(node.get("additionalProperties"), dict):
                plan.rest.append(f"{place}/additionalProperties")
        return plan

    def _array_plan(self, pointer: str) -> _Plan:
        plan = _Plan()
        for place in self._applying(pointer, "array"):
            node = self._node(place)
            if "items" in node and "prefixItems" not in node:
                plan.rest.append(f"{place}/items")
        return plan

    def _applying(self, pointer: str, kind: Kind) -> Iterator[str]:
        """The subschemas that certainly apply to a value of this kind."""
        yield pointer
        node = self._node(pointer)
        if "$ref" in node:
            yield from self._applying(target(node["$ref"]), kind)
        for n, _ in enumerate(node.get("allOf", ())):
            yield from self._applying(f"{pointer}/allOf/{n}", kind)
        for keyword in ("anyOf", "oneOf"):
            places = [f"{pointer}/{keyword}/{n}" for n, _ in enumerate(node.get(keyword, ()))]
            possible = [place for place in places if self._may_be(place, kind)]
            if len(possible) == 1:
                yield from self._applying(possible[0], kind)

    def _may_be(self, pointer: str, kind: Kind) -> bool:
        node = self._parts.by_pointer[pointer]
        while isinstance(node, dict) and "type" not in node and "$ref" in node:
            node = self._parts.by_pointer[target(node["$ref"])]
        if isinstance(node, bool):
            return node
        types = node.get("type", kind)
        return kind == types or (isinstance(types, list) and kind in types)

    def _node(self, pointer: str) -> Mapping[str, Any]:
        node = self._parts.by_pointer[pointer]
        return {} if isinstance(node, bool) else node

    def _drop_idle(self) -> None:
        """Leaves out the plans that lead to nothing to fill in, so that they cost nothing."""
        above: dict[str, list[str]] = {}
        for plans in (self._objects, self._arrays):
            for pointer, plan in plans.items():
                for inner in plan.inner():
                    above.setdefault(inner, []).append(pointer)
        waiting = [pointer for pointer, plan in self._objects.items() if plan.fill]
        busy: set[str] = set()
        while waiting:
            pointer = waiting.pop()
            if pointer not in busy:
                busy.add(pointer)
                waiting += above.get(pointer, ())
        for plans in (self._objects, self._arrays):
            for pointer, plan in list(plans.items()):
                plan.keep(busy)
                if not (plan.fill or any(plan.inner())):
                    del plans[pointer]


class _Filling:
    """One run, which counts what it adds."""

    def __init__(self, objects: Mapping[str, _Plan], arrays: Mapping[str, _Plan]) -> None:
        self._objects = objects
        self._arrays = arrays
        self._room = MAX_ADDED_BYTES
        self.effort = 0

    def at(self, pointer: str, value: Any) -> Any:
        if isinstance(value, dict):
            plan = self._objects.get(pointer)
            return value if plan is None else self._object(plan, value)
        if isinstance(value, list):
            plan = self._arrays.get(pointer)
            return value if plan is None else [self._all(plan.rest, item) for item in value]
        return value

    def _object(self, plan: _Plan, value: dict[str, Any]) -> dict[str, Any]:
        made = value.copy()
        if plan.members or plan.rest:
            for name, inner in value.items():
                if isinstance(inner, _NESTED):
                    made[name] = self._all(plan.members.get(name, plan.rest), inner)
        for name, default, size, cost in plan.fill:
            if name not in made:
                self._room -= size
                self.effort += cost
                if self._room < 0:
                    raise TooMuchAdded("the defaults of all items together are larger than 256 KiB")
                made[name] = copy.deepcopy(default) if isinstance(default, _NESTED) else default
        return made

    def _all(self, pointers: list[str], value: Any) -> Any:
        for pointer in pointers:
            value = self.at(pointer, value)
        return value
