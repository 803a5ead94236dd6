"""How much validating by a schema can cost at most, for each value within the parameters.

The unit is the evaluation of one plain keyword set at one value, about 20 ns in jsonschema-rs 0.60. The bound is the
largest number of evaluations that any one value can need, whatever the parameters are. Subschemas that apply to the
same value add up; of the members of a value only one is met on the way down to any other, so there the largest counts.
256 KiB of JSON hold at most 131,072 values: 500 evaluations for each of them took 1.4 s (measured).

Plain recursion costs the same at every depth and is accepted. References that multiply from level to level are not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..domain.pointers import escaped
from .subschemas import SchemaRefused, Subschemas

MAX_EVALUATIONS = 500
# Of this analysis itself; a step takes about 0.3 µs.
_MAX_STEPS = 400_000
_INSTANCE_DEPTH = 32
_TOO_COSTLY = "validating by this schema could take too long: it has too many alternatives for one value"

# Measured in evaluations, each at its worst.
_PATTERN = 10
_FORMAT = 50  # a call of a Python function
_FRACTION = 300  # multipleOf 0.01 at 1e308
_UNIQUE = 10
# Comparing with one option; a fraction is compared exactly.
_COMPARING: dict[type, int] = {dict: 20, list: 20, float: 40, int: 8}
_PLAIN = 2


@dataclass(slots=True)
class _Members:
    """What the members of a value meet: `rest` in any case, and a change of it at some names or positions."""

    rest: Counter[str] = field(default_factory=Counter)
    special: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def size(self) -> int:
        return len(self.rest) + sum(map(len, self.special.values()))

    def most(self, cost: Mapping[str, int]) -> int:
        changes = (_sum(change, cost) for change in self.special.values())
        return _sum(self.rest, cost) + max(0, 0, *changes)


def check_cost(found: Subschemas) -> int:
    """How many evaluations one value can need. Raises SchemaRefused above 500, and where that cannot be told soon."""
    return heaviest(found, _local, MAX_EVALUATIONS)


def heaviest(found: Subschemas, local: Callable[[Mapping[str, Any] | bool], int], limit: int) -> int:
    """The largest sum of `local` over the subschemas that apply to one value. Raises SchemaRefused above `limit`, and
    where that cannot be told soon."""
    steps = 0
    closures: dict[str, Counter[str]] = {}
    cost: dict[str, int] = {}
    members: dict[str, tuple[_Members, _Members]] = {}
    for pointer in found.order:  # what applies in place comes before what it applies to
        closure = Counter({pointer: 1})
        for inner in found.in_place(pointer):
            closure.update(closures[inner])
            steps += len(closures[inner]) + 1
        # Alternatives that apply in place can be counted at once.
        if closure.total() > MAX_EVALUATIONS or steps > _MAX_STEPS:
            raise SchemaRefused(_TOO_COSTLY)
        closures[pointer] = closure
        cost[pointer] = sum(local(found.by_pointer[inner]) * count for inner, count in closure.items())
    most = cost[""]
    for pointer in _entries(found):
        members[pointer] = _members(found, closures[pointer])
        steps += sum(part.size for part in members[pointer]) + len(closures[pointer])
        if steps > _MAX_STEPS:
            raise SchemaRefused(_TOO_COSTLY)
    a_level = sum(sum(part.size for part in parts) + 1 for parts in members.values())
    for _ in range(_INSTANCE_DEPTH):
        below = {pointer: max(part.most(cost) for part in parts) for pointer, parts in members.items()}
        most = max(most, below[""])
        if most > limit or all(below[pointer] == cost[pointer] for pointer in below) or not any(below.values()):
            break
        cost, steps = below, steps + a_level
        if steps > _MAX_STEPS:
            raise SchemaRefused(_TOO_COSTLY)
    if most > limit:
        raise SchemaRefused(_TOO_COSTLY)
    return most


def _entries(found: Subschemas) -> Iterator[str]:
    """The root, and every subschema that applies to a member of a value."""
    seen = {""}
    yield ""
    for pointer, node in found.by_pointer.items():
        if isinstance(node, dict):
            for inner in found.of_members(pointer):
                if inner not in seen:
                    seen.add(inner)
                    yield inner


def _members(found: Subschemas, closure: Mapping[str, int]) -> tuple[_Members, _Members]:
    """What the members of an object, and the items of an array, meet under these subschemas."""
    of_object, of_array = _Members(), _Members()
    for pointer, count in closure.items():
        node = found.by_pointer[pointer]
        if isinstance(node, bool):
            continue
        for name in node.get("patternProperties", ()):
            of_object.rest[f"{pointer}/patternProperties/{escaped(name)}"] += count
        for key in ("additionalProperties", "propertyNames"):
            if key in node:
                of_object.rest[f"{pointer}/{key}"] += count
        for name in node.get("properties", ()):
            of_object.special[name][f"{pointer}/properties/{escaped(name)}"] += count
            if "additionalProperties" in node:
                of_object.special[name][f"{pointer}/additionalProperties"] -= count
        for key in ("items", "contains"):
            if key in node:
                of_array.rest[f"{pointer}/{key}"] += count
        for n, _ in enumerate(node.get("prefixItems", ())):
            of_array.special[str(n)][f"{pointer}/prefixItems/{n}"] += count
            if "items" in node:
                of_array.special[str(n)][f"{pointer}/items"] -= count
    return of_object, of_array


def _sum(counts: Mapping[str, int], cost: Mapping[str, int]) -> int:
    return sum(count * cost[inner] for inner, count in counts.items())


def _local(node: Mapping[str, Any] | bool) -> int:
    """The evaluations of a subschema's own keywords at one value, its branches counted on their own."""
    if isinstance(node, bool):
        return 1
    total = 1 + _PATTERN * ("pattern" in node) + _FORMAT * ("format" in node) + _UNIQUE * ("uniqueItems" in node)
    total += _PATTERN * len(node.get("patternProperties", ()))
    if isinstance(node.get("multipleOf"), float):
        total += _FRACTION
    total += _comparing([node["const"]]) if "const" in node else 0
    total += _comparing(node["enum"]) if "enum" in node else 0
    for names in node.get("dependentRequired", {}).values():
        total += 2 + 2 * len(names)
    return total


def _comparing(options: list[Any]) -> int:
    kinds = {type(option) for option in options}
    if kinds <= {str} or (kinds <= {int} and len(options) > 1):
        return 1  # looked up by hash
    return sum(_COMPARING.get(type(option), _PLAIN) for option in options)
