"""What the supervisor makes of a child's end, without any process."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from taskyard.catalogue.types import Catalogue
from taskyard.lifecycle.rescue import Guilt, Lost
from taskyard_worker.autoscale import Autoscale
from taskyard_worker.enforcer import Enforcer
from taskyard_worker.slots import SlotTable
from taskyard_worker.supervisor import Supervisor

from .making import claim_some, make_desk, make_table


@dataclass
class Dead:
    """A child that was killed by a signal as soon as it had begun so many tasks."""

    begun: int
    quarantine: bool = False
    end_at: float | None = None
    table: SlotTable = field(default_factory=make_table)
    verdicts: dict[Any, Any] = field(default_factory=dict)
    index: int = 0
    inbox: str = "its inbox"
    pid: int = 1
    ready: bool = True
    worn: str | None = None
    retiring: bool = False
    is_silent: bool = False
    is_condemned: bool = False
    why_killed: str | None = None
    code: int = -signal.SIGSEGV

    said: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line, other = socket.socketpair()
        other.close()
        self.started = time.monotonic()
        desk = make_desk(table=self.table)
        for slot in claim_some(desk, self.begun):
            desk.begin(slot)

    def hear(self) -> list[Any]:
        return []

    def say(self, message: Any) -> None:
        self.said.append(message)

    def reap(self) -> tuple[int, Any]:
        return self.code, SimpleNamespace(ru_maxrss=1)

    def why_replaced(self, code: int) -> str:
        return "signal"

    def close(self) -> None:
        self.line.close()


class Yard:
    """A supervisor that starts nothing."""

    def __init__(self) -> None:
        self.lost: list[Lost] = []
        self.replaced: list[str | None] = []
        ignore: Any = lambda *_: None  # noqa: E731
        self.supervisor = Supervisor(
            scale=Autoscale(minimum=1, maximum=1, threads=4),
            threads=4,
            queues=["default"],
            overrides={},
            drain_seconds=1.0,
            enforcer=Enforcer(Catalogue([]), grace_seconds=10.0, condemn=ignore),
            spawn_environment=lambda index: {},
            on_exit=lambda index, pid, why: self.replaced.append(why),
            on_turn=ignore,
        )
        recorder: Any = SimpleNamespace(lost=lambda cause, items: self.lost.extend(items), salvage=lambda inbox: None)
        self.supervisor.recorder = recorder

    def reap(self, child: Any) -> list[Guilt]:
        self.supervisor._children[child.pid] = child
        self.supervisor._reap(child)
        return [item.guilt for item in self.lost]

    def rescale(self, wanted: int, children: list[Any]) -> list[bool]:
        """Which of the children are sent home where so many are wanted."""
        scale = Autoscale(minimum=1, maximum=4, threads=4)
        scale.wanted = wanted
        self.supervisor._staffing._scale = scale
        self.supervisor._children = dict(enumerate(children))
        for pid, child in enumerate(children):
            child.pid = pid
        self.supervisor._staffing._rescale()
        for child in children:
            child.close()
        return [child.said == [{"do": "drain"}] and child.retiring for child in children]

    def close(self) -> None:
        for end in (self.supervisor._bell, self.supervisor._bell_rope):
            end.close()

    def pause(self, *, quarantine: bool) -> float:
        return self.supervisor._staffing._restarts[quarantine].pause


@pytest.fixture
def make_yard() -> Iterator[Callable[[], Yard]]:
    yards: list[Yard] = []

    def make() -> Yard:
        yards.append(Yard())
        return yards[-1]

    yield make
    for yard in yards:
        yard.close()


Make = Callable[[], Yard]


def test_the_only_task_that_had_begun_is_guilty_and_of_several_each_is_suspected(make_yard: Make) -> None:
    assert make_yard().reap(Dead(1)) == [Guilt.GUILTY]
    assert make_yard().reap(Dead(2)) == [Guilt.SUSPECT] * 2


def test_beside_a_fenced_attempt_that_ran_on_nobody_is_proven_guilty(make_yard: Make) -> None:
    # The fenced one left its slot when it was given up; its thread was still there.
    assert make_yard().reap(Dead(1, end_at=time.monotonic() + 10)) == [Guilt.SUSPECT]


def test_suspects_that_end_their_children_keep_nobody_waiting(make_yard: Make) -> None:
    yard = make_yard()
    for _ in range(10):
        yard.reap(Dead(1, quarantine=True))
    assert yard.pause(quarantine=True) <= 0
    assert yard.pause(quarantine=False) <= 0


@pytest.mark.parametrize("quarantine", [False, True])
def test_children_that_die_without_a_task_come_back_slower_and_only_their_kind(
    make_yard: Make, quarantine: bool
) -> None:
    yard = make_yard()
    for _ in range(6):
        yard.reap(Dead(0, quarantine=quarantine))
    assert yard.pause(quarantine=quarantine) > 0
    assert yard.pause(quarantine=not quarantine) <= 0


def test_a_quarantine_that_closes_is_not_counted_as_replaced(make_yard: Make) -> None:
    yard = make_yard()
    yard.reap(Dead(0, quarantine=True, retiring=True, code=0))
    yard.reap(Dead(0, retiring=True, code=0))
    assert yard.replaced == [None, "signal"]


def test_of_more_children_than_are_wanted_the_idlest_go(make_yard: Make) -> None:
    assert make_yard().rescale(2, [Dead(2), Dead(0), Dead(1)]) == [False, True, False]
    assert make_yard().rescale(1, [Dead(2), Dead(0), Dead(1)]) == [False, True, True]
    assert make_yard().rescale(3, [Dead(2), Dead(0), Dead(1)]) == [False] * 3


def test_what_still_starts_what_retires_and_quarantine_are_not_counted(make_yard: Make) -> None:
    others = [Dead(0, ready=False), Dead(0, retiring=True), Dead(0, quarantine=True)]
    assert make_yard().rescale(1, [Dead(1), *others]) == [False] * 4


def test_a_worn_child_goes_first_and_not_before_somebody_is_there_in_its_place(make_yard: Make) -> None:
    assert make_yard().rescale(1, [Dead(2, worn="max_tasks"), Dead(0, ready=False)]) == [False, False]
    assert make_yard().rescale(1, [Dead(2, worn="max_tasks"), Dead(0)]) == [True, False]
