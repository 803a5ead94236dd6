"""A worker lives where a child of it gets on, and takes work where one gets at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from taskyard_worker.handle import STUCK_SECONDS
from taskyard_worker.pulse import STALLED_SECONDS, Pulse


@dataclass
class Child:
    """A child as its handle and its slot table show it."""

    clock: Clock
    ready: bool = True
    retiring: bool = False
    quarantine: bool = False
    stands_since: dict[str, float] = field(default_factory=dict)
    begun: bool = False

    @property
    def table(self) -> Any:
        times = {name: self.stands_since.get(name, self.clock.now) for name in ("tick", "polled", "fetched", "wrote")}
        entries = [SimpleNamespace(begun_at=1.0)] if self.begun else []
        return SimpleNamespace(header=lambda: SimpleNamespace(**times), entries=lambda: entries)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def look(pulse: Pulse, *children: Any, is_registered: bool = True, is_stopping: bool = False) -> bool:
    return pulse.look(children, is_registered=is_registered, is_stopping=is_stopping)


def test_a_worker_with_a_child_that_gets_on_lives_and_takes_work() -> None:
    clock = Clock()
    pulse, child = Pulse(clock), Child(clock)
    for _ in range(10):
        clock.now += 60
        assert look(pulse, child)
        assert pulse.unready is None


def test_children_that_never_become_ready_are_no_life() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    clock.now += STALLED_SECONDS - 1
    assert look(pulse, Child(clock, ready=False)), "it may take a moment to start"
    assert pulse.unready == "no child process is ready"
    clock.now += 2
    assert not look(pulse, Child(clock, ready=False))
    assert look(pulse, Child(clock)), "and comes back to life with the first that does"


def test_a_consumer_or_a_writer_that_stands_still_is_no_life() -> None:
    for what in ("polled", "wrote"):
        clock = Clock()
        pulse, child = Pulse(clock), Child(clock)
        assert look(pulse, child)
        child.stands_since[what] = clock.now
        clock.now += STUCK_SECONDS + 1
        assert look(pulse, child)
        clock.now += STALLED_SECONDS
        assert not look(pulse, child)


def test_a_child_that_runs_c_code_for_long_is_left_to_its_limits() -> None:
    clock = Clock()
    pulse, child = Pulse(clock), Child(clock, begun=True)
    child.stands_since = dict.fromkeys(("tick", "polled", "wrote", "fetched"), clock.now)
    clock.now += 500
    assert look(pulse, child)
    assert pulse.unready is not None, "but it takes no more meanwhile"


def test_an_outage_ends_being_ready_and_nothing_else() -> None:
    clock = Clock()
    pulse, child = Pulse(clock), Child(clock)
    child.stands_since["fetched"] = clock.now
    for _ in range(10):
        clock.now += 60
        assert look(pulse, child)
        assert "does not answer" in str(pulse.unready)
        assert look(pulse, is_registered=False), "without the ledger no child is started"
        assert pulse.unready == "PostgreSQL does not know it yet"


def test_what_is_about_to_end_takes_no_work() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    assert look(pulse, Child(clock, retiring=True), Child(clock, quarantine=True))
    assert pulse.unready == "no child process is ready"
    clock.now += 2 * STALLED_SECONDS
    assert look(pulse, is_stopping=True)
    assert pulse.unready == "it is stopping"
