"""Judgement: which of the tasks in a dead child may have killed it. See the package for the whole story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskyard.lifecycle.rescue import Guilt, Lost

from ..slots import Entry, Phase


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended. `cause` is for people. `ran_fenced_attempt`: an attempt in it had been recorded as over, and
    may still have run."""

    cause: str
    peak_memory_bytes: int
    was_killed_by_us: bool = False
    ran_fenced_attempt: bool = False


def judge(held: Sequence[Entry], death: Death) -> list[Lost]:
    """What becomes of each claim that the child held: `held` are its entries in the slot table, without those that were
    recorded as over before."""
    guilt = Guilt.INNOCENT
    if not death.was_killed_by_us:
        # A fenced attempt has left the slot table, and may be what killed the child.
        guilt = Guilt.of_begun(sum(entry.phase is Phase.BEGUN for entry in held) + death.ran_fenced_attempt)
    return [
        Lost(
            entry.task_id,
            entry.claim,
            guilt if entry.phase is Phase.BEGUN else Guilt.INNOCENT,
            death.cause,
            death.peak_memory_bytes,
        )
        for entry in held
    ]
