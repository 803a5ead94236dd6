"""How the programs of the drills tell what they found."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, ClassVar, Protocol


class Verdict(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def holds(self) -> bool: ...

    @property
    def says_something(self) -> bool: ...


def seed_of(wanted: int | None) -> int:
    """The seed that was asked for, or one by chance; printed, so that the run can be repeated."""
    seed = random.randrange(2**32) if wanted is None else wanted
    print(f"seed {seed}", flush=True)
    return seed


def told(verdict: Verdict, *, otherwise: str) -> int:
    """Prints the figures; the exit code. `otherwise`: why they say nothing, where they do not."""
    for name, value in dataclasses.asdict(verdict).items():
        print(f"{name.replace('_', ' '):24} {value}")
    if not verdict.says_something:
        print(f"{otherwise}: this says nothing")
    return 0 if verdict.holds and verdict.says_something else 1
