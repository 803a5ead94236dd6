"""The verdict: the ledger next to what was submitted, and the file of effects next to both."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from taskyard.domain.errors import LedgerUnavailable
from tests.support.effects import effects
from tests.support.fleet import FINAL, repeating, wait_for
from tests.support.leftovers import leftovers

from .load import CRASHED, Kind
from .plant import Plant

_LOOK_SECONDS = 5.0


@dataclass(slots=True)
class Verdict:
    submitted: int
    final: int = 0
    lost: list[UUID] = field(default_factory=list)
    """Answered with 202, and not in the ledger, or not final."""
    effects_seen: int = 0
    """Tasks whose effect happened."""
    doubled: int = 0
    """Of these, more than once."""
    crash_limited: int = 0
    settled_seconds: float = 0.0
    """From the end of the faults until everything was final."""
    wrong: list[str] = field(default_factory=list)
    """What must not be, in words."""

    @property
    def is_good(self) -> bool:
        return not self.lost and not self.wrong


class Watch:
    """Looks at final states now and then: none of them may ever change."""

    def __init__(self, plant: Plant) -> None:
        self.changed: list[str] = []
        self._plant = plant
        self._seen: dict[UUID, str] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        def look() -> None:
            with suppress(LedgerUnavailable, SQLAlchemyError):
                self.look()

        with repeating(look, every=_LOOK_SECONDS):
            yield

    def look(self) -> None:
        rows = self._plant.fleet.query("SELECT id, state FROM task WHERE finished_at IS NOT NULL")
        now = {row.id: row.state for row in rows}
        self.changed += [f"{i} was {was}, then {now.get(i)}" for i, was in self._seen.items() if now.get(i) != was]
        self._seen = now


def settle(plant: Plant, accepted: Mapping[UUID, Kind], *, within: float, watch: Watch) -> Verdict:
    """Waits until every task is final, and judges."""
    verdict = Verdict(len(accepted))
    began = time.monotonic()
    while _unfinished(plant) and time.monotonic() - began < within:
        time.sleep(0.1)
    verdict.settled_seconds = time.monotonic() - began
    rows = {row.id: row for row in plant.fleet.query("SELECT id, state, attempt, error, parent_id FROM task")}
    verdict.lost = [i for i in accepted if i not in rows]
    verdict.lost += [i for i, row in rows.items() if row.state not in FINAL]  # what tasks submitted, too
    verdict.final = sum(row.state in FINAL for row in rows.values())
    watch.look()
    verdict.wrong += watch.changed
    strangers = [i for i in rows.keys() - accepted.keys() if rows[i].parent_id not in accepted]
    verdict.wrong += [f"{i} was never accepted and is in the ledger" for i in strangers]
    runs = Counter(UUID(line) for line in effects(plant.fleet.effects))
    verdict.effects_seen, verdict.doubled = len(runs), sum(n > 1 for n in runs.values())
    for task_id, kind in accepted.items():
        if (row := rows.get(task_id)) is None:
            continue
        end = (row.state, row.error["code"] if row.error else None)
        verdict.crash_limited += end == CRASHED and kind.name != "crashing"
        if row.state in FINAL and end not in kind.ends:
            verdict.wrong.append(f"{task_id}, {kind.name}, ended as {end}")
        if row.state == "succeeded" and kind.has_effect and not runs[task_id]:
            verdict.wrong.append(f"{task_id}, {kind.name}, has succeeded without its effect")
        if runs[task_id] > row.attempt:
            verdict.wrong.append(f"{task_id}, {kind.name}, ran {runs[task_id]} times in {row.attempt} attempts")
    verdict.wrong += _leftovers(plant)
    return verdict


def _unfinished(plant: Plant) -> int:
    return int(plant.fleet.query("SELECT count(*) AS n FROM task WHERE finished_at IS NULL")[0].n)


def _leftovers(plant: Plant) -> Sequence[str]:
    """What is to be gone some seconds after the last task: the relay's, and what dead consumers had fetched."""
    with plant.valkey.client() as client:

        def left() -> list[str]:
            outbox = plant.fleet.query("SELECT id FROM outbox")
            return [f"outbox row {row.id}" for row in outbox] + [f"Redis key {key!r}" for key in leftovers(client)]

        try:
            wait_for(lambda: not left(), 45, "nothing to be left")
        except AssertionError:
            return left()
    return []
