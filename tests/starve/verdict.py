"""What a phase did to the ordinary tasks, and what it may do to them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from tests.support.fleet import FINAL, Fleet

from .load import LONG_SECONDS, Ordinary, Sent

MOST_RELEASES = 1
_TIMES = 3
"""A slow machine's share: what is bounded takes this many times as long there."""
_HELD_SECONDS = 3.0
"""The shortest limit, and how long the supervisor waits past it for a process that is held."""
_ENDS = """
    SELECT t.id, t.state, extract(epoch FROM t.finished_at) AS finished,
           (SELECT count(*) FROM task_attempt a WHERE a.task_id = t.id AND a.outcome <> 'succeeded') AS released
    FROM task t WHERE t.id = ANY(:ids)"""


@dataclass(frozen=True, slots=True)
class Phase:
    """Times in seconds. A task's wait is what passes from its caller's wish to its end, without what it takes."""

    name: str
    told: str
    """What the hostile caller was answered."""
    tasks: int
    p50: float
    p99: float
    slowest_answer: float
    released: int
    most_releases: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """The longest waits, in seconds."""

    p50: float = math.inf
    p99: float = math.inf

    @classmethod
    def of(cls, alone: Phase, replacement: float) -> Bars:
        """Half of the tasks may wait for a process to be replaced, which takes longer beside a load; a few also for C
        code that holds the interpreter up to its limit, and as long again as they ran."""
        p50, p99 = (_TIMES * (wait + replacement) for wait in (alone.p50, alone.p99))
        return cls(p50, p99 + _HELD_SECONDS + LONG_SECONDS)


def settle(fleet: Fleet, ordinary: Ordinary, within: float) -> None:
    """Returns when every ordinary task is final, or after that time."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        states = fleet.states(list(ordinary.submitted))
        if set(states) <= FINAL:
            return
        time.sleep(0.2)


def is_quiet(fleet: Fleet) -> bool:
    """Whether every task is final."""
    return not fleet.query("SELECT FROM task WHERE state <> ALL(:final) LIMIT 1", final=list(FINAL))


def judge(fleet: Fleet, name: str, ordinary: Ordinary, sent: Sent, bars: Bars) -> Phase:
    rows = fleet.query(_ENDS, ids=[UUID(one) for one in ordinary.submitted])
    waits = []
    for row in rows:
        wanted_at, seconds = ordinary.submitted[str(row.id)]
        waits.append((float(row.finished) if row.finished is not None else time.time()) - wanted_at - seconds)
    waits.sort()
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    most = max((row.released for row in rows), default=0)
    states = Counter(row.state for row in rows if row.state != "succeeded")
    broken = [f"{count} ordinary tasks are {state}" for state, count in states.items()]
    if most > MOST_RELEASES:
        broken.append(f"an ordinary task was released {most} times")
    for share, wait, bar in (("p50", p50, bars.p50), ("p99", p99, bars.p99)):
        if wait > bar:
            broken.append(f"{share} of the waiting time is {wait:.2f} s, above {bar:.2f} s")
    if ordinary.refused:
        broken.append(f"{len(ordinary.refused)} ordinary submits got no 202, the first: {ordinary.refused[0][:200]}")
    released = sum(row.released > 0 for row in rows)
    told = ", ".join(f"{count} x {status}" for status, count in sorted(sent.answers.items()))
    return Phase(name, told, len(rows), p50, p99, ordinary.slowest_answer, released, most, tuple(broken))


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)] if ordered else math.inf


def table(alone: Phase, phases: Sequence[Phase]) -> Iterator[str]:
    yield ""
    columns = ["beside", "its answers", "tasks", "p50, ms", "p99, ms", "p50, ratio", "p99, ratio", "slowest answer, ms"]
    yield "| " + " | ".join([*columns, "released", "most often", ""]) + " |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for phase in (alone, *phases):
        figures = [phase.p50 * 1000, phase.p99 * 1000]
        ratios = [phase.p50 / alone.p50, phase.p99 / alone.p99]
        said = [
            phase.name,
            phase.told,
            str(phase.tasks),
            *(f"{one:.0f}" for one in figures),
            *(f"{one:.1f}" for one in ratios),
        ]
        said += [f"{phase.slowest_answer * 1000:.0f}", str(phase.released), str(phase.most_releases)]
        yield "| " + " | ".join([*said, "BROKEN" if phase.broken else "ok"]) + " |"
    yield ""
    for phase in (alone, *phases):
        for words in phase.broken:
            yield f"{phase.name}: {words}"
