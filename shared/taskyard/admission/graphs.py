"""The graph of a workflow: steps by name, with the names of those that each needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..domain.faults import MAX_FAULTS, Fault
from ..domain.messages import message
from ..domain.pointers import pointer
from ..domain.references import Place, Reference, marked
from ..domain.workflows import MAX_NEEDS

_SHOWN = 10
_STEPS = "/steps"

_UNKNOWN = message("There is no step of this name.")
_TWICE = message("Names the same step twice.")
_TOO_MANY = message("The steps may have {limit} needs at most together.", limit=MAX_NEEDS)
_ALONE = message("`$result` stands alone in its object, with a text.")
_NO_PATH = message("Write the name of a step and a path in its result: step.path.to[0].")
_NOT_NEEDED = message("This step does not come before: name it in `needs`, or what leads to it.")


def ordered(needs: Mapping[str, Sequence[str]]) -> list[str] | list[Fault]:
    """The names so that each comes behind those that it needs; or what is wrong with the graph."""
    if sum(map(len, needs.values())) > MAX_NEEDS:
        return [Fault(_STEPS, _TOO_MANY, "too_many_needs")]
    faults: list[Fault] = []
    for name, wanted in needs.items():
        known = set()
        for n, need in enumerate(wanted):
            if need not in needs:
                faults.append(Fault(_at(name, n), _UNKNOWN, "unknown_step"))
            elif need in known:
                faults.append(Fault(_at(name, n), _TWICE))
            known.add(need)
            if len(faults) >= MAX_FAULTS:
                return faults
    return faults or _sorted(needs)


def _sorted(needs: Mapping[str, Sequence[str]]) -> list[str] | list[Fault]:
    left = {name: len(wanted) for name, wanted in needs.items()}
    leads = leading(needs)
    found = [name for name, n in left.items() if n == 0]
    for name in found:  # grows
        for after in leads[name]:
            left[after] -= 1
            if left[after] == 0:
                found.append(after)
    if len(found) == len(needs):
        return found
    circle = _circle(needs, {name for name, n in left.items() if n})
    shown = " → ".join(circle if len(circle) <= _SHOWN else [*circle[:_SHOWN], "…"])
    told = message("These steps need each other, so none of them could begin: {steps}.", steps=shown)
    return [Fault(_at(circle[0]), told, "cycle")]


def _at(name: str, *place: int) -> str:
    return pointer(("steps", name, "needs", *place))


def leading(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The names of the steps that need each step."""
    leads: dict[str, list[str]] = {name: [] for name in needs}
    for name, wanted in needs.items():
        for need in wanted:
            leads[need].append(name)
    return leads


def _circle(needs: Mapping[str, Sequence[str]], stuck: set[str]) -> list[str]:
    """One circle among steps that are on one or behind one: each of them needs another of them."""
    seen: dict[str, int] = {}
    name = next(name for name in needs if name in stuck)
    while name not in seen:
        seen[name] = len(seen)
        name = next(need for need in needs[name] if need in stuck)
    circle = [*seen][seen[name] :]
    return [*circle, circle[0]]


class Before:
    """Which steps come before which: for references. `order` is that of `ordered`."""

    def __init__(self, needs: Mapping[str, Sequence[str]], order: Sequence[str]) -> None:
        self._needs = needs
        self._order = order
        self._places: dict[str, int] = {}
        self._sets: list[int] = []

    def comes(self, need: str, name: str) -> bool:
        """Whether the step `need` ends before `name` begins."""
        return need in self._needs[name] or bool(self._of(name) >> self._places[need] & 1)

    def _of(self, name: str) -> int:
        """The set as bits: 10,000 steps take 12 MB, and a twentieth of a second. Made when the first one is asked for
        that is no direct need."""
        if not self._sets:
            self._places = {one: n for n, one in enumerate(self._order)}
            for one in self._order:
                bits = 0
                for need in self._needs[one]:
                    at = self._places[need]
                    bits |= self._sets[at] | 1 << at
                self._sets.append(bits)
        return self._sets[self._places[name]]


def references(
    params: object, name: str, before: Before, known: Mapping[str, object]
) -> tuple[list[tuple[Place, Reference]], list[Fault]]:
    """The references in the parameters of the step `name`, and what is wrong with them."""
    found: list[tuple[Place, Reference]] = []
    faults: list[Fault] = []
    for place, node in marked(params):
        at = pointer(("steps", name, "params", *place))
        text = next(iter(node.values()))
        if len(node) != 1 or not isinstance(text, str):
            faults.append(Fault(at, _ALONE))
        elif (reference := Reference.parse(text)) is None:
            faults.append(Fault(at, _NO_PATH))
        elif reference.step not in known:
            faults.append(Fault(at, _UNKNOWN, "unknown_step"))
        elif not before.comes(reference.step, name):
            faults.append(Fault(at, _NOT_NEEDED, "step_not_needed"))
        else:
            found.append((place, reference))
        if len(faults) >= MAX_FAULTS:
            break
    return found, faults
