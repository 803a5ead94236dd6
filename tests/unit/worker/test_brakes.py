"""Brakes: what keeps ending processes is slowed, and nothing else."""

from __future__ import annotations

from typing import Any

from taskyard.lifecycle.claim import kind_name
from taskyard_worker.child.slowed import Slowed
from taskyard_worker.slots import Kind
from taskyard_worker.supervisor.brakes import FREE, Brakes

from .making import Clock

HOSTILE: Kind = ("email.send", "mallory")


class Child:
    """An ordinary child, and what it leaves alone."""

    def __init__(self, clock: Clock, *, quarantine: bool = False) -> None:
        self.quarantine = quarantine
        self.slowed = Slowed(clock, lambda: 0.0)

    def send(self, message: dict[str, Any]) -> None:
        assert message["do"] == "slow"
        self.slowed.replace(message["until"])


class Harness:
    def __init__(self) -> None:
        self.clock = Clock()
        self.child = Child(self.clock)
        self.alone = Child(self.clock, quarantine=True)
        self.counted: list[tuple[str, bool]] = []
        self.children: list[Any] = [self.child, self.alone]
        self.brakes = Brakes(
            self.children, lambda name, slowed: self.counted.append((name, slowed)), clock=self.clock, rand=lambda: 1.0
        )

    def ends(self, kind: Kind, times: int = 1) -> None:
        for _ in range(times):
            self.brakes.ended_its_process(kind)

    @property
    def slowed(self) -> list[str]:
        return self.child.slowed.names


def test_an_accident_slows_nothing_and_what_goes_on_is_slowed_for_ever_longer() -> None:
    harness = Harness()
    harness.ends(HOSTILE, FREE)
    assert harness.slowed == []
    pauses = []
    for _ in range(6):
        harness.ends(HOSTILE)
        assert harness.slowed == [kind_name(*HOSTILE)]
        pauses.append(harness.child.slowed.seconds(kind_name(*HOSTILE)))
        harness.clock.now += pauses[-1]
        assert harness.slowed == []
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert harness.counted == [(HOSTILE[0], False)] * FREE + [(HOSTILE[0], True)] * 6


def test_each_kind_is_put_off_for_its_own_time_only() -> None:
    harness = Harness()
    harness.ends(HOSTILE, FREE + 4)
    harness.ends(("other.type", "alice"), FREE + 1)
    seconds = {name: harness.child.slowed.seconds(name) for name in harness.slowed}
    assert seconds == {kind_name(*HOSTILE): 40, kind_name("other.type", "alice"): 5}


def test_after_two_minutes_without_another_one_it_is_forgiven() -> None:
    harness = Harness()
    harness.ends(HOSTILE, FREE + 5)
    harness.clock.now += 121
    harness.ends(HOSTILE, FREE)
    assert harness.slowed == []


def test_a_submitter_cannot_escape_with_another_type_nor_a_type_with_another_submitter() -> None:
    for other in (("files.process", HOSTILE[1]), (HOSTILE[0], "eve")):
        harness = Harness()
        harness.ends(HOSTILE, FREE)
        harness.ends(other)
        assert harness.slowed == [kind_name(*other)], "and what ends no process goes on"


def test_tasks_without_a_submitter_have_only_their_type_in_common() -> None:
    harness = Harness()
    harness.ends(("some.type", ""), FREE)
    harness.ends(("other.type", ""))
    assert harness.slowed == []


def test_children_that_start_later_are_told_and_those_in_quarantine_are_not() -> None:
    harness = Harness()
    harness.ends(HOSTILE, FREE + 1)
    later: Any = Child(harness.clock)
    harness.brakes.tell(later)
    assert later.slowed.names == harness.slowed
    assert harness.alone.slowed.names == [], "what runs there harms nothing"
