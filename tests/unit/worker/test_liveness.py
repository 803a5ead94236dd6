"""A worker is alive while the loops of a child turn, and ready while a child can fetch tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskyard_worker.slots import SlotTable
from taskyard_worker.supervisor import liveness as liveness_module
from taskyard_worker.supervisor.handle import STUCK_SECONDS
from taskyard_worker.supervisor.liveness import STALLED_SECONDS, Liveness

from .making import Clock, claim_some, make_claim_table, make_slot_table


@dataclass
class Child:
    """A child whose loops turn all the time, but for those that stand since a time."""

    clock: Clock
    ready: bool = True
    retiring: bool = False
    quarantine: bool = False
    stands_since: dict[str, float] = field(default_factory=dict)
    slots: SlotTable = field(default_factory=make_slot_table)

    @property
    def table(self) -> SlotTable:
        times = {name: self.stands_since.get(name, self.clock.now) for name in ("tick", "polled", "fetched", "wrote")}
        self.slots.report(pid=1, runs=0, **times)
        return self.slots

    def begin(self) -> None:
        """It runs a task."""
        claims = make_claim_table(table=self.slots)
        claims.begin(*claim_some(claims))


def look(
    liveness: Liveness, *children: liveness_module.Child, is_registered: bool = True, is_stopping: bool = False
) -> bool:
    return liveness.look(children, is_registered=is_registered, is_stopping=is_stopping)


def test_a_worker_with_a_child_whose_loops_turn_is_alive_and_ready() -> None:
    clock = Clock()
    liveness, child = Liveness(clock), Child(clock)
    for _ in range(10):
        clock.now += 60
        assert look(liveness, child)
        assert liveness.unready is None


def test_a_worker_whose_children_never_become_ready_is_not_alive() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    clock.now += STALLED_SECONDS - 1
    assert look(liveness, Child(clock, ready=False)), "it may take a moment to start"
    assert liveness.unready == "no child process is ready"
    clock.now += 2
    assert not look(liveness, Child(clock, ready=False))
    assert look(liveness, Child(clock)), "and comes back to life with the first that does"


def test_a_worker_whose_consumer_or_writer_has_stopped_is_not_alive() -> None:
    for what in ("polled", "wrote"):
        clock = Clock()
        liveness, child = Liveness(clock), Child(clock)
        assert look(liveness, child)
        child.stands_since[what] = clock.now
        clock.now += STUCK_SECONDS + 1
        assert look(liveness, child)
        clock.now += STALLED_SECONDS
        assert not look(liveness, child)


def test_a_child_that_runs_c_code_for_long_is_left_to_its_limits() -> None:
    clock = Clock()
    liveness, child = Liveness(clock), Child(clock)
    child.begin()
    child.stands_since = dict.fromkeys(("tick", "polled", "wrote", "fetched"), clock.now)
    clock.now += 500
    assert look(liveness, child)
    assert liveness.unready is not None, "but it takes no more meanwhile"


def test_during_an_outage_a_worker_is_alive_and_not_ready() -> None:
    clock = Clock()
    liveness, child = Liveness(clock), Child(clock)
    child.stands_since["fetched"] = clock.now
    for _ in range(10):
        clock.now += 60
        assert look(liveness, child)
        assert "does not answer" in str(liveness.unready)
        assert look(liveness, is_registered=False), "without the ledger no child is started"
        assert liveness.unready == "PostgreSQL does not know it yet"


def test_children_that_are_about_to_end_do_not_make_a_worker_ready() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    assert look(liveness, Child(clock, retiring=True), Child(clock, quarantine=True))
    assert liveness.unready == "no child process is ready"
    clock.now += 2 * STALLED_SECONDS
    assert look(liveness, is_stopping=True)
    assert liveness.unready == "it is stopping"
