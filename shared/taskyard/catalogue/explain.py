"""Finds what is wrong with an invalid value, by following it along its schema.

Every decision is jsonschema-rs's: for a subschema or a keyword, a small validator is compiled when it is first needed.
The search stops after 100 faults, and after a quarter of a second of processor time; where it found nothing by then, a
general fault is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..domain.faults import MAX_FAULTS, Fault
from ..domain.messages import Message, message
from ..domain.pointers import escaped
from . import sentences
from .subschemas import IN_PLACE_LIST, Subschemas, target

Check = Callable[[Any], bool]
_DOCUMENT = "urn:taskyard:schema#"
# Of this thread's processor time, so that a busy machine changes no answer. Asking for it is a system call, so the
# clock on the wall says first whether it is worth asking: a single call may take long.
_SECONDS = 0.25
_ASK_AFTER_SECONDS = 0.01
_MAX_FRAMES = 150
_MAX_BRANCHES = 50
_NEAR_NAMES = 5  # unknown names that near names are looked for: comparing texts is slow

# Each is a fault of its own. Where the type is wrong, the other keywords say nothing.
_LEAVES = (
    *("enum", "const", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties"),
)
_AUTHORED = frozenset({"pattern", "contains", "not"})


@dataclass(frozen=True, slots=True)
class _Found:
    place: str
    keyword: str
    sentence: Message


class _TimeIsOver(Exception):
    pass


def explain(parts: Subschemas, compiler: Callable[[Any], Check], value: Any, prefix: str) -> list[Fault]:
    """The faults of an invalid value, at least one. `compiler` compiles a schema that may refer to the document."""
    search = _Search(parts, compiler)
    found: list[_Found] = []
    try:
        for one in search.at("", value, prefix, 0):
            found.append(one)
            if len(found) >= MAX_FAULTS:
                break
    except _TimeIsOver:
        pass
    # Several branches may tell the same.
    told = dict.fromkeys((one.place, one.sentence) for one in found)
    return [Fault(place, sentence) for place, sentence in told] or [Fault(prefix, sentences.UNSAID)]


class _Search:
    """One search. Yields what is wrong, place by place."""

    def __init__(self, parts: Subschemas, compiler: Callable[[Any], Check]) -> None:
        self._parts = parts
        self._compiler = compiler
        self._checks: dict[tuple[str, str], Check] = {}
        self._compared = 0
        self._until = time.thread_time() + _SECONDS
        self._ask_at = time.perf_counter() + _ASK_AFTER_SECONDS

    def at(self, pointer: str, value: Any, place: str, frames: int) -> Iterator[_Found]:
        """What is wrong with a value by the subschema at `pointer`; nothing where it is valid."""
        if self._valid(pointer, value):
            return
        node = self._parts.by_pointer[pointer]
        if isinstance(node, bool):
            yield _Found(place, "false", sentences.of_leaf("false", {}))
            return
        if frames > _MAX_FRAMES:
            yield _Found(place, "", sentences.UNSAID)
            return
        if "type" in node and not self._keyword(pointer, node, "type", value):
            yield _Found(place, "type", sentences.of_leaf("type", node))
            return
        plain = False
        for one in self._plain(pointer, node, value, place, frames + 1):
            plain = True
            yield one
        # The author's sentence on several parameters is of use once each of them is right by itself.
        if not (plain and "x-message" in node):
            yield from self._combined(pointer, node, value, place, frames + 1)

    def _plain(self, pointer: str, node: Mapping[str, Any], value: Any, place: str, frames: int) -> Iterator[_Found]:
        for keyword in _LEAVES:
            if keyword in node and not self._keyword(pointer, node, keyword, value):
                if keyword == "format":
                    sentence = sentences.of_format(node["format"], value)
                else:
                    sentence = _authored(node, keyword) or sentences.of_leaf(keyword, node)
                yield _Found(place, keyword, sentence)
        if isinstance(value, dict):
            yield from self._members(pointer, node, value, place, frames)
        elif isinstance(value, list | tuple):
            yield from self._items(pointer, node, value, place, frames)

    def _members(
        self, pointer: str, node: Mapping[str, Any], value: Mapping[str, Any], place: str, frames: int
    ) -> Iterator[_Found]:
        needed = list(node.get("required", ()))
        needed += [n for name, names in node.get("dependentRequired", {}).items() if name in value for n in names]
        for name in dict.fromkeys(needed):
            if name not in value:
                yield _Found(f"{place}/{escaped(name)}", "required", sentences.of_required(name))
        named = node.get("properties", {})
        for name, inner in value.items():
            where, known = f"{place}/{escaped(name)}", name in named
            if known:
                yield from self.at(f"{pointer}/properties/{escaped(name)}", inner, where, frames)
            for pattern in node.get("patternProperties", {}):
                if self._matches(pattern, name):
                    known = True
                    yield from self.at(f"{pointer}/patternProperties/{escaped(pattern)}", inner, where, frames)
            if not known and "additionalProperties" in node:
                yield from self._additional(pointer, node, name, inner, where, frames)
            if "propertyNames" in node and not self._valid(f"{pointer}/propertyNames", name):
                yield _Found(where, "propertyNames", message("This name is not allowed here."))

    def _additional(
        self, pointer: str, node: Mapping[str, Any], name: str, inner: Any, where: str, frames: int
    ) -> Iterator[_Found]:
        if node["additionalProperties"] is False:
            self._compared += 1
            known = list(node.get("properties", ()))
            sentence = sentences.of_unknown(name, known, compare=self._compared <= _NEAR_NAMES)
            yield _Found(where, "additionalProperties", sentence)
        else:
            yield from self.at(f"{pointer}/additionalProperties", inner, where, frames)

    def _items(
        self, pointer: str, node: Mapping[str, Any], value: Sequence[Any], place: str, frames: int
    ) -> Iterator[_Found]:
        first, rest = len(node.get("prefixItems", ())), f"{pointer}/items"
        for n, item in enumerate(value):
            if n >= first and "items" not in node:
                break
            inner = rest if n >= first else f"{pointer}/prefixItems/{n}"
            # Checked here as well as in `at`: a call of a generator for each valid item would take twice the time.
            if not self._valid(inner, item):
                yield from self.at(inner, item, f"{place}/{n}", frames)
        if "contains" in node and not self._keyword(pointer, node, "contains", value):
            yield _Found(place, "contains", _authored(node, "contains") or sentences.of_leaf("contains", node))

    def _combined(self, pointer: str, node: Mapping[str, Any], value: Any, place: str, frames: int) -> Iterator[_Found]:
        if "$ref" in node:
            yield from self.at(target(node["$ref"]), value, place, frames)
        for n, _ in enumerate(node.get("allOf", ())):
            yield from self.at(f"{pointer}/allOf/{n}", value, place, frames)
        for keyword in IN_PLACE_LIST[1:]:
            if keyword in node and not self._keyword(pointer, node, keyword, value):
                yield from self._branches(pointer, node, keyword, value, place, frames)
        if "not" in node and self._valid(f"{pointer}/not", value):
            yield _Found(place, "not", _authored(node, "not") or sentences.of_leaf("not", node))
        if "if" in node:
            branch = "then" if self._valid(f"{pointer}/if", value) else "else"
            if branch in node:
                yield from self.at(f"{pointer}/{branch}", value, place, frames)
        if isinstance(value, dict):
            for name in node.get("dependentSchemas", {}):
                if name in value:
                    yield from self.at(f"{pointer}/dependentSchemas/{escaped(name)}", value, place, frames)

    def _branches(
        self, pointer: str, node: Mapping[str, Any], keyword: str, value: Any, place: str, frames: int
    ) -> Iterator[_Found]:
        """The faults of the alternative that got furthest, or one for all of them."""
        if "x-message" in node:
            yield _Found(place, keyword, _of_author(node))
            return
        tried: list[tuple[tuple[int, int], list[_Found]]] = []
        for n, branch in enumerate(node[keyword][:_MAX_BRANCHES]):
            if branch == {"type": "null"} and len(node[keyword]) > 1:
                continue
            found = []
            for one in self.at(f"{pointer}/{keyword}/{n}", value, place, frames):
                found.append(one)
                if len(found) >= MAX_FAULTS:
                    break
            if not found:  # oneOf: several alternatives fit
                tried = []
                break
            tried.append((_reach(found, place), found))
        if len(tried) == 1:
            yield from tried[0][1]
        elif tried and max(tried, key=_first)[0][0] > 0:
            yield from max(tried, key=_first)[1]
        else:
            yield _Found(place, keyword, _of_alternatives(self._parts, node[keyword]))

    def _matches(self, pattern: str, name: str) -> bool:
        return self._check(("", pattern), {"pattern": pattern})(name)

    def _valid(self, pointer: str, value: Any) -> bool:
        return self._check((pointer, ""), pointer)(value)

    def _keyword(self, pointer: str, node: Mapping[str, Any], keyword: str, value: Any) -> bool:
        """Whether the value is valid by this keyword alone."""
        if keyword == "contains":
            schema = {key: node[key] for key in ("minContains", "maxContains") if key in node}
            schema["contains"] = _reference(f"{pointer}/contains")
        elif keyword in IN_PLACE_LIST:
            schema = {keyword: [_reference(f"{pointer}/{keyword}/{n}") for n in range(len(node[keyword]))]}
        else:
            schema = {keyword: node[keyword]}
        return self._check((pointer, keyword), schema)(value)

    def _check(self, key: tuple[str, str], schema: dict[str, Any] | str) -> Check:
        """The validator of a schema, or of the subschema at a pointer."""
        now = time.perf_counter()
        if now > self._ask_at:
            self._ask_at = now + _ASK_AFTER_SECONDS
            if time.thread_time() > self._until:
                raise _TimeIsOver
        check = self._checks.get(key)
        if check is None:
            check = self._checks[key] = self._compiler(_reference(schema) if isinstance(schema, str) else schema)
        return check


def _reference(pointer: str) -> dict[str, Any]:
    return {"$ref": _DOCUMENT + quote(pointer, safe="/~")}


def _authored(node: Mapping[str, Any], keyword: str) -> Message | None:
    return _of_author(node) if keyword in _AUTHORED and "x-message" in node else None


def _of_author(node: Mapping[str, Any]) -> Message:
    """The author's sentence, without values. Those of the platform's own kits are in the catalogues, as they stand."""
    return Message(node["x-message"], node["x-message"], {})


def _first(pair: tuple[tuple[int, int], list[_Found]]) -> tuple[int, int]:
    return pair[0]


def _reach(found: Sequence[_Found], place: str) -> tuple[int, int]:
    """How far a value got in an alternative: 0 of the wrong type, 1 of the wrong kind (by a constant at it or at one of
    its members), else 2; then, the fewer faults the further."""
    if any(one.keyword == "type" and one.place == place for one in found):
        return 0, 0
    told_apart = any(one.keyword in {"const", "enum"} and one.place.count("/") <= place.count("/") + 1 for one in found)
    return (1 if told_apart else 2), -len(found)


def _of_alternatives(parts: Subschemas, branches: Sequence[Any]) -> Message:
    """One sentence for alternatives that fail in the same way: all types, or all options."""
    nodes = []
    for branch in branches:
        node = parts.by_pointer[target(branch["$ref"])] if isinstance(branch, dict) and "$ref" in branch else branch
        nodes.append(node if isinstance(node, dict) else {})
    types = [node.get("type") for node in nodes]
    if all(isinstance(kind, str) for kind in types):
        return sentences.of_type(str(kind) for kind in types)
    return sentences.GENERAL
