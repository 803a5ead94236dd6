"""Parameters of a workflow's step in which references to results stand: checked as far as can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..catalogue.compiled import CompiledSpec
from ..domain.faults import Fault
from ..domain.messages import message
from ..domain.pointers import pointer
from ..domain.references import Place

MAX_TAKEN = 100

_IN_SECRET = message("A secret cannot be the result of another step, because results are not secret.")
_TOO_MANY = message("A step takes {limit} results at most: let an earlier step put them together.", limit=MAX_TAKEN)


def faults_around(
    taken: Sequence[tuple[Place, dict[str, Any]]], plain: Any, spec: CompiledSpec, place: str
) -> list[Fault]:
    """What is wrong with parameters whatever the results are. A reference fits any schema at its place."""
    if len(taken) > MAX_TAKEN:
        return [Fault(place, _TOO_MANY)]
    inside: set[int] = set()

    def note(value: Any) -> Any:
        inside.update(map(id, _objects(value)))
        return value

    spec.secrets.sealed(plain, note)
    faults = [Fault(place + pointer(at), _IN_SECRET) for at, reference in taken if id(reference) in inside]
    loose = spec.params.loose
    if faults or loose is None or loose.is_valid(plain):
        return faults
    # The type's own schema tells best what is wrong, where that is not at a reference or around one.
    held = [place + pointer(at) for at, _ in taken]
    told = [fault for fault in spec.params.faults(plain, place) if not _touches(fault.pointer, held)]
    return told or loose.faults(plain, place)


def _objects(value: Any) -> Sequence[Any]:
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        found.append(one)
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


def _touches(one: str, held: Sequence[str]) -> bool:
    return any(one == at or one.startswith(f"{at}/") or at.startswith(f"{one}/") for at in held)
