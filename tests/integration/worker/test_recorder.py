"""The recorder: beats, lost children, claims that nobody holds, and being given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from taskyard.domain.tasks import Cancelled, Change
from taskyard.lifecycle.assertion import Assertion
from taskyard.lifecycle.rescue import Guilt, Lost, lose
from taskyard.lifecycle.workers import Beat
from taskyard.settings import Settings
from taskyard.store import fleet
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from taskyard_worker.supervisor import ends as ends_module
from taskyard_worker.supervisor.recorder import Recorder
from taskyard_worker.supervisor.forced_end import Verdict
from tests.integration.worker.harness import NAME, QUEUES, Bench, Quiet
from tests.support.fleet import wait_for

BEAT_SECONDS = 0.1


class Stage:
    """A recorder with children made of thin air."""

    def __init__(self, bench: Bench, engine: Engine) -> None:
        self.bench = bench
        self.held: set[tuple[UUID, UUID]] = set()
        self.attempt = 1
        self.cancelled: set[tuple[UUID, UUID]] = set()
        self.waiting_suspects = 0
        self.verdicts: list[tuple[Verdict, list[Change]]] = []
        self.given_up = threading.Event()
        self.counted: list[tuple[str, int]] = []
        self.losses: list[Lost] = []
        self.salvaged: list[str] = []
        self.quiet = Quiet()
        settings = Settings(heartbeat_seconds=BEAT_SECONDS, worker_lease_seconds=1.0)
        self.recorder = Recorder(
            engine,
            self.quiet,  # type: ignore[arg-type]
            settings,
            queues=QUEUES,
            task_types=[NAME],
            worker=self,
            counts=self,
            salvage=self.salvaged.append,
        )
        self.recorder.register()
        bench.worker_id = self.recorder.worker_id

    # What the recorder asks of a supervisor

    def standing(self, worker_id: UUID) -> Beat:
        return Beat(worker_id=worker_id, begun=[i for i, _ in self.held])

    def claims(self) -> list[Assertion]:
        return [Assertion(task_id, claim, self.attempt, "w:0") for task_id, claim in self.held]

    def give_up(self) -> None:
        self.given_up.set()

    def cancel(self, keys: Collection[tuple[UUID, UUID]]) -> None:
        self.cancelled.update(keys)

    def suspects(self, tasks: int) -> None:
        self.waiting_suspects = tasks

    # What it counts

    def condemned(self, verdict: Verdict, changes: Sequence[Change]) -> None:
        self.verdicts.append((verdict, list(changes)))

    def lost(self, items: Sequence[Lost], changes: Sequence[Change]) -> None:
        self.losses.extend(items)

    def recovered(self, cause: str, tasks: int) -> None:
        self.counted.append((cause, tasks))

    def claim(self, count: int = 1, *, held: int = 0) -> list[tuple[UUID, UUID]]:
        """`held`: how many of them a child holds, from before PostgreSQL knows of it."""
        ids, claim = sorted(self.bench.submit(count)), uuid4()
        known, self.attempt = self.attempt, 0  # until PostgreSQL has answered
        self.held |= {(i, claim) for i in ids[:held]}
        works = self.bench.claim(ids, claim)
        self.attempt = known
        return [(work.id, claim) for work in works]

    def worker(self) -> Any:
        (row,) = self.bench.query("SELECT * FROM worker WHERE id = :id", id=self.recorder.worker_id)
        return row

    def beats(self, count: int) -> None:
        for _ in range(count):
            last = self.worker().beat_at
            wait_for(lambda last=last: self.worker().beat_at > last, 10, "a beat")  # type: ignore[misc]


@pytest.fixture
def stage(bench: Bench, engine: Engine) -> Iterator[Stage]:
    made = Stage(bench, engine)
    made.recorder.start()
    yield made
    made.recorder.stop(5.0)


def lost(held: tuple[UUID, UUID], *, begun: bool = True) -> Lost:
    return Lost(*held, Guilt.GUILTY if begun else Guilt.INNOCENT, "killed by signal 9 (SIGKILL)", 1 << 20)


def test_each_beat_says_what_runs(stage: Stage) -> None:
    (held,) = stage.claim(held=1)
    stage.beats(2)
    assert stage.worker().begun == [held[0]]


def test_a_claim_that_nobody_holds_is_released_after_two_beats_and_the_held_ones_stay(stage: Stage) -> None:
    mine, nobodys = stage.claim(2, held=1)
    wait_for(lambda: bool(stage.quiet.committed), 20, "the release")
    assert stage.bench.states([nobodys[0], mine[0]]) == ["queued", "running"]
    assert stage.counted == [("unheld", 1)]
    assert [p.task_id for c in stage.quiet.committed for p in c.publications] == [nobodys[0]]
    (row,) = stage.bench.query("SELECT * FROM task WHERE id = :id", id=nobodys[0])
    assert (row.failures, row.crashes) == (0, 0)


def test_one_beat_is_not_enough_to_take_a_claim_back(bench: Bench, engine: Engine) -> None:
    stage = Stage(bench, engine)
    (held,) = stage.claim()
    stage.recorder._beat()
    assert bench.states([held[0]]) == ["running"]
    stage.held = {held}  # it was between two places
    stage.recorder._beat()
    stage.held = set()
    stage.recorder._beat()
    assert bench.states([held[0]]) == ["running"], "the two beats must follow each other"
    stage.recorder._beat()
    assert bench.states([held[0]]) == ["queued"]


def test_an_end_that_waits_to_be_recorded_is_not_taken_for_a_claim_that_nobody_holds(
    bench: Bench, engine: Engine
) -> None:
    # PostgreSQL is back, and a beat comes before the record of what ended meanwhile.
    stage = Stage(bench, engine)
    ended, died = stage.claim(2)
    verdict = Verdict(*ended, NAME, Cancelled("it did not stop", forced=True), 2.0, "it did not stop")
    stage.recorder.condemn(verdict)
    stage.recorder.lost("killed", [lost(died)])
    for _ in range(3):
        stage.recorder._beat()
    assert bench.states([ended[0], died[0]]) == ["running"] * 2
    stage.recorder.start()
    wait_for(lambda: bench.states([ended[0], died[0]]) == ["cancelled", "queued"], 20, "both records")
    stage.recorder.stop(5.0)
    assert not stage.recorder._awaited
    outcomes = [row.outcome for row in bench.query("SELECT outcome FROM task_attempt ORDER BY outcome")]
    assert outcomes == ["cancelled", "crashed"]


def test_what_died_with_a_child_is_recorded_at_once(stage: Stage) -> None:
    begun, waiting = stage.claim(2, held=2)
    stage.recorder.lost("killed by signal 9 (SIGKILL)", [lost(begun), lost(waiting, begun=False)])
    wait_for(lambda: ("child", 2) in stage.counted, 20, "the rescue")
    assert set(stage.bench.states([begun[0], waiting[0]])) == {"queued"}
    crashes = {row.id: row.crashes for row in stage.bench.query("SELECT id, crashes FROM task")}
    assert crashes == {begun[0]: 1, waiting[0]: 0}


def failing_to_lose(monkeypatch: pytest.MonkeyPatch, times: int) -> list[Exception]:
    """The record of a loss fails so many times; the failures that are still to come."""
    failures: list[Exception] = [RuntimeError("out of luck")] * times

    def failing(*args: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return lose(*args, **more)

    monkeypatch.setattr(ends_module, "lose", failing)
    return failures


def test_a_loss_that_cannot_be_recorded_yet_is_tried_again_and_does_not_stop_the_beats(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = failing_to_lose(monkeypatch, 3)
    (held,) = stage.claim(held=1)
    stage.recorder.lost("killed", [lost(held)])
    stage.beats(2)
    wait_for(lambda: stage.bench.states([held[0]]) == ["queued"], 20, "the record")
    assert failures == []


def test_a_worker_that_was_given_up_says_so_once_and_beats_no_more_until_it_is_renewed(stage: Stage) -> None:
    old = stage.recorder.worker_id
    stage.bench.execute("UPDATE worker SET lost_at = now() WHERE id = :id", id=old)
    assert stage.given_up.wait(20)
    assert not stage.recorder.is_registered
    stage.given_up.clear()
    time.sleep(5 * BEAT_SECONDS)
    assert not stage.given_up.is_set()

    stage.recorder.renew()
    wait_for(lambda: stage.recorder.is_registered, 20, "the new identity")
    assert stage.recorder.worker_id != old
    stage.beats(2)
    assert not stage.given_up.is_set()
    stage.bench.worker_id = stage.recorder.worker_id
    assert len(stage.claim()) == 1, "the new identity wins claims"


def test_workers_are_listed_newest_first(bench: Bench) -> None:
    """Also page by page, whoever comes meanwhile: by ids that grow."""
    started = [Stage(bench, bench.engine).recorder.worker_id for _ in range(6)]
    with bench.engine.connect() as conn:
        listed = [row["id"] for row in fleet.workers(conn, lease=timedelta(seconds=20))]
    assert [worker for worker in listed if worker in started] == started[::-1]


def test_renewing_never_waits_for_the_ledger(own_bench: Bench, own_servers: tuple[Postgres, Valkey]) -> None:
    postgres, _ = own_servers
    stage = Stage(own_bench, own_bench.engine)
    stage.recorder.start()
    own_bench.execute("UPDATE worker SET lost_at = now()")
    assert stage.given_up.wait(20)
    postgres.stop()
    began = time.monotonic()
    stage.recorder.renew()
    assert time.monotonic() - began < 1
    assert not stage.recorder.is_registered
    postgres.start()
    wait_for(lambda: stage.recorder.is_registered, 30, "the registration")
    stage.recorder.stop(5.0)


def test_losses_wait_for_postgresql_and_are_recorded_once_it_is_back(
    own_bench: Bench, own_servers: tuple[Postgres, Valkey]
) -> None:
    postgres, _ = own_servers
    stage = Stage(own_bench, own_bench.engine)
    stage.recorder.start()
    (held,) = stage.claim(held=1)
    postgres.stop()
    stage.recorder.lost("killed", [lost(held)])
    time.sleep(1.0)
    postgres.start()
    wait_for(lambda: own_bench.states([held[0]]) == ["queued"], 30, "the record")
    stage.recorder.stop(5.0)
    assert own_bench.query("SELECT crashes FROM task")[0].crashes == 1


def test_signing_off_records_what_was_lost_releases_the_rest_and_stops_the_worker(stage: Stage) -> None:
    begun, held = stage.claim(2, held=2)
    # Both at once: the loss must not be skipped because we are stopping.
    stage.recorder.lost("killed", [lost(begun)])
    stage.recorder.stop(20.0)
    assert stage.bench.states([begun[0], held[0]]) == ["queued", "queued"]
    crashes = {row.id: row.crashes for row in stage.bench.query("SELECT id, crashes FROM task")}
    assert crashes == {begun[0]: 1, held[0]: 0}
    assert (stage.worker().state, stage.worker().stopped_at is not None) == ("stopped", True)


def test_signing_off_takes_up_what_could_not_be_recorded_before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = failing_to_lose(monkeypatch, 2)
    (held,) = stage.claim(held=1)
    stage.recorder.lost("killed", [lost(held)])
    wait_for(lambda: len(failures) < 2, 20, "the first try")
    stage.recorder.stop(20.0)
    (row,) = stage.bench.query("SELECT state, crashes FROM task")
    assert (row.state, row.crashes) == ("queued", 1)


def test_signing_off_waits_a_while_for_postgresql_and_not_for_ever(
    own_bench: Bench, own_servers: tuple[Postgres, Valkey]
) -> None:
    postgres, _ = own_servers
    stage = Stage(own_bench, own_bench.engine)
    stage.recorder.start()
    (held,) = stage.claim(held=1)
    postgres.stop()
    back = threading.Timer(1.5, postgres.start)
    back.start()
    stage.recorder.stop(40.0)
    back.join()
    assert own_bench.states([held[0]]) == ["queued"]

    stage = Stage(own_bench, own_bench.engine)
    stage.recorder.start()
    postgres.stop()
    began = time.monotonic()
    stage.recorder.stop(2.0)
    assert time.monotonic() - began < 10
    postgres.start()
