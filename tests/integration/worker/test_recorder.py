"""The recorder: heartbeats, lost children, unheld claims, and being given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection

from taskyard.domain.processes import ProcessRange
from taskyard.domain.tasks import Cancelled, Change
from taskyard.lifecycle import control
from taskyard.lifecycle.assertion import Assertion
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.put_off import put_off, take_up
from taskyard.lifecycle.rescue import Guilt, Lost, lose
from taskyard.lifecycle.workers import Asked, Beat
from taskyard.settings import Settings
from taskyard.store import fleet, ledger
from taskyard.store.audit import Actor
from taskyard.telemetry.metrics import Metrics
from taskyard_dev.postgres import Postgres
from taskyard_worker.supervisor import claims as claims_module
from taskyard_worker.supervisor.claims import WorkerClaims
from taskyard_worker.supervisor.handle import ForcedEnd
from taskyard_worker.supervisor.recorder import Recorder
from taskyard_worker.supervisor.registration import Registration
from tests.integration.worker.harness import NAME, QUEUES, Harness, Kept
from tests.support.fleet import wait_for
from tests.support.specs import spec_named

BEAT_SECONDS = 0.1


class RecorderHarness:
    """A recorder whose children are made up, and what it asks for and counts."""

    is_stopping = False
    bounds = ProcessRange(2, 2)
    restarted_at: datetime | None = None

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.held: set[tuple[UUID, UUID]] = set()
        self.attempt = 1
        self.cancelled: set[tuple[UUID, UUID]] = set()
        self.wanted_apart = 0
        self.asked: list[Asked] = []
        self.forced_ends: list[tuple[ForcedEnd, list[Change]]] = []
        self.given_up = threading.Event()
        self.counted: list[tuple[str, int]] = []
        self.losses: list[Lost] = []
        self.requeued: list[str] = []
        self.totals = {"crashed": 1}
        self.kept = Kept()
        settings = Settings(heartbeat_seconds=BEAT_SECONDS, worker_lease_seconds=1.0)
        self.registration = Registration(harness.engine, settings, queues=QUEUES, announce=lambda: None)
        self.registration.take({NAME: spec_named(NAME)})
        claims = WorkerClaims(
            harness.engine, self.kept, self, self.registration, self, self, self, crash_limit=settings.crash_limit
        )
        self.recorder = Recorder(
            self.registration,
            claims,
            heartbeat_seconds=settings.heartbeat_seconds,
            requeue_fetched=self.requeued.append,
            database=Metrics("worker").dependency("database"),
        )
        self.registration.register()
        harness.worker_id = self.registration.worker_id

    # The children

    def beat(self, worker_id: UUID, state: str) -> Beat:
        ended = {"succeeded": 2, "retrying": 1}
        return Beat(
            worker_id=worker_id, state=state, begun=[i for i, _ in self.held], attempts=ended, load_average=[0.5]
        )

    def claims(self, worker: str) -> list[Assertion]:
        return [Assertion(task_id, claim, self.attempt, "w:0") for task_id, claim in self.held]

    # The requests to the main thread

    def give_up(self) -> None:
        self.given_up.set()

    def cancel(self, keys: Collection[tuple[UUID, UUID]]) -> None:
        self.cancelled.update(keys)

    def ask(self, asked: Asked) -> None:
        self.asked.append(asked)

    def run_apart(self, children: int) -> None:
        self.wanted_apart = children

    # What it counts

    def forced(self, end: ForcedEnd, changes: Sequence[Change]) -> None:
        self.forced_ends.append((end, list(changes)))

    def lost(self, items: Sequence[Lost], changes: Sequence[Change]) -> None:
        self.losses.extend(items)

    def recovered(self, cause: str, tasks: int) -> None:
        self.counted.append((cause, tasks))

    def claim(self, count: int = 1, *, held: int = 0) -> list[tuple[UUID, UUID]]:
        """`held`: how many of them a child holds, from before PostgreSQL knows of it."""
        ids, claim = sorted(self.harness.submit(count)), uuid4()
        known, self.attempt = self.attempt, 0  # until PostgreSQL has answered
        self.held |= {(i, claim) for i in ids[:held]}
        works = self.harness.claim(ids, claim)
        self.attempt = known
        return [(work.id, claim) for work in works]

    def row(self) -> Any:
        (row,) = self.harness.query("SELECT * FROM worker WHERE id = :id", id=self.registration.worker_id)
        return row

    def have_asked(self, verb: Callable[..., Any]) -> None:
        ask = partial(verb, ids=[self.registration.worker_id], by=Actor("ops"), lease=timedelta(seconds=20))
        assert ledger.run_transaction(self.harness.engine, ask).answer

    def beats(self, count: int) -> None:
        for _ in range(count):
            last = self.row().beat_at
            wait_for(lambda last=last: self.row().beat_at > last, 10, "a beat")  # type: ignore[misc]


@pytest.fixture
def recording(harness: Harness) -> Iterator[RecorderHarness]:
    made = RecorderHarness(harness)
    made.recorder.start()
    yield made
    made.recorder.stop(5.0)


@pytest.fixture
def own_recording(own_harness: Harness) -> RecorderHarness:
    """It has begun; the test stops it."""
    made = RecorderHarness(own_harness)
    made.recorder.start()
    return made


def lost(held: tuple[UUID, UUID], *, begun: bool = True) -> Lost:
    return Lost(*held, Guilt.GUILTY if begun else Guilt.INNOCENT, "killed by signal 9 (SIGKILL)", 1 << 20)


def test_each_beat_says_what_runs(recording: RecorderHarness) -> None:
    (held,) = recording.claim(held=1)
    recording.beats(2)
    assert recording.row().begun == [held[0]]


def test_a_beat_tells_attempts_that_ended_in_children_and_those_that_the_supervisor_ended(
    recording: RecorderHarness,
) -> None:
    recording.beats(1)
    row = recording.row()
    assert row.attempts == {"succeeded": 2, "failed": 0, "retried": 1, "crashed": 1, "cancelled": 0}
    assert row.load_average == [0.5]


def test_a_beat_reads_what_is_asked_of_the_worker_and_tells_what_is_done(recording: RecorderHarness) -> None:
    asked = partial(control.resize, processes=ProcessRange(3, 5))
    recording.have_asked(asked)
    wait_for(lambda: recording.asked, 10, "it to be handed over")
    assert recording.asked[0] == Asked(processes=ProcessRange(3, 5))
    recording.bounds = ProcessRange(3, 5)
    wait_for(lambda: recording.row().processes_asked is None, 10, "it to be told")
    assert recording.row().processes == 5


def test_a_hint_has_it_read_before_the_next_beat(harness: Harness) -> None:
    recording = RecorderHarness(harness)
    recording.recorder._beat()
    recording.have_asked(control.drain)
    beat_at = recording.row().beat_at
    recording.recorder._look()
    assert recording.asked == [Asked(drain=True)]
    assert recording.row().beat_at == beat_at


def test_a_worker_that_was_given_up_is_told_nothing_that_was_asked_of_it(harness: Harness) -> None:
    recording = RecorderHarness(harness)
    recording.have_asked(control.drain)
    harness.query("UPDATE worker SET lost_at = now() RETURNING id")
    recording.recorder._look()
    recording.recorder._beat()
    assert recording.given_up.is_set()
    recording.recorder.renew()
    recording.recorder._register()
    recording.recorder._beat()
    assert recording.asked == [], "nor under its next identity"


def test_a_worker_that_stops_says_so_before_its_next_beat_and_takes_no_claim_back_for_that(harness: Harness) -> None:
    recording = RecorderHarness(harness)
    (just_won,) = recording.claim()
    recording.recorder._beat()
    recording.is_stopping = True
    recording.recorder._tell()
    assert recording.row().state == "draining"
    assert harness.states([just_won[0]]) == ["running"], "its child is about to begin it"
    recording.recorder._beat()
    assert harness.states([just_won[0]]) == ["queued"]


def test_a_worker_that_drains_takes_up_nothing_that_others_put_off(harness: Harness) -> None:
    ids = harness.submit(2)
    ledger.run_transaction(harness.engine, lambda conn: put_off(conn, ids, reason="unknown_task_type", seconds=200.0))
    recording = RecorderHarness(harness)
    recording.is_stopping = True
    recording.recorder.start()
    recording.recorder.register_types()
    recording.beats(2)
    recording.recorder.stop(5)
    assert set(harness.states(ids)) == {"scheduled"}


def test_beats_go_on_while_what_others_put_off_is_taken_up(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = harness.submit(30)
    ledger.run_transaction(harness.engine, lambda conn: put_off(conn, ids, reason="unknown_task_type"))
    done: list[str] = []

    def take_one(conn: Connection, *given: Any, **more: Any) -> Committed[int]:
        done.append("take_up")
        time.sleep(BEAT_SECONDS / 2)
        return take_up(conn, *given, **more)

    monkeypatch.setattr(claims_module, "_BATCH", 1)
    monkeypatch.setattr(claims_module, "take_up", take_one)
    recording = RecorderHarness(harness)

    def beat(worker_id: UUID, state: str) -> Beat:
        done.append("beat")
        return RecorderHarness.beat(recording, worker_id, state)

    monkeypatch.setattr(recording, "beat", beat)
    recording.recorder.start()
    recording.recorder.register_types()
    try:
        wait_for(lambda: set(harness.states(ids)) == {"queued"}, 30, "all to be taken up")
    finally:
        recording.recorder.stop(5.0)
    last = len(done) - 1 - done[::-1].index("take_up")
    assert done[done.index("take_up") : last].count("beat") >= 5


def test_a_claim_that_no_child_holds_is_released_after_two_beats_and_held_claims_stay(
    recording: RecorderHarness,
) -> None:
    mine, unheld = recording.claim(2, held=1)
    wait_for(lambda: bool(recording.kept.committed), 20, "the release")
    assert recording.harness.states([unheld[0], mine[0]]) == ["queued", "running"]
    assert recording.counted == [("unheld", 1)]
    assert [p.task_id for c in recording.kept.committed for p in c.publications] == [unheld[0]]
    (row,) = recording.harness.query("SELECT * FROM task WHERE id = :id", id=unheld[0])
    assert (row.failures, row.crashes) == (0, 0)


def test_one_beat_is_not_enough_to_take_a_claim_back(harness: Harness) -> None:
    recording = RecorderHarness(harness)
    (held,) = recording.claim()
    recording.recorder._beat()
    assert harness.states([held[0]]) == ["running"]
    recording.held = {held}  # it was between two places
    recording.recorder._beat()
    recording.held = set()
    recording.recorder._beat()
    assert harness.states([held[0]]) == ["running"], "the two beats must follow each other"
    recording.recorder._beat()
    assert harness.states([held[0]]) == ["queued"]


def test_a_claim_that_was_given_back_and_won_again_is_asserted_where_postgresql_forgot_both(
    harness: Harness,
) -> None:
    # It has the task running under the earlier claim. To release that would have the task run a second time.
    recording = RecorderHarness(harness)
    ((task_id, _),) = recording.claim()
    newest = (task_id, uuid4())
    recording.held, recording.attempt = {newest}, 2
    for _ in range(3):
        recording.recorder._beat()
    (row,) = harness.query("SELECT state, claim, attempt FROM task")
    assert tuple(row) == ("running", newest[1], 2)
    assert recording.counted == [("asserted", 1)]


def test_a_claim_whose_end_waits_to_be_recorded_is_not_released_as_unheld(harness: Harness) -> None:
    # PostgreSQL is back, and a beat comes before the record of what ended meanwhile.
    recording = RecorderHarness(harness)
    ended, died = recording.claim(2)
    end = ForcedEnd(*ended, (NAME, ""), Cancelled("it did not stop", forced=True), 2.0, "it did not stop")
    recording.recorder.forced(end)
    recording.recorder.lost("killed", [lost(died)])
    for _ in range(3):
        recording.recorder._beat()
    assert harness.states([ended[0], died[0]]) == ["running"] * 2
    recording.recorder.start()
    wait_for(lambda: harness.states([ended[0], died[0]]) == ["cancelled", "queued"], 20, "both records")
    recording.recorder.stop(5.0)
    assert not recording.recorder._being_recorded
    outcomes = [row.outcome for row in harness.query("SELECT outcome FROM task_attempt ORDER BY outcome")]
    assert outcomes == ["cancelled", "crashed"]


def test_a_claim_whose_child_dies_during_a_beat_is_not_released_as_unheld(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = RecorderHarness(harness)
    (died,) = recording.claim()
    recording.recorder._beat()

    def dies(worker: str) -> list[Assertion]:
        recording.recorder.lost("killed", [lost(died)])
        return []

    monkeypatch.setattr(recording, "claims", dies)
    recording.recorder._beat()
    assert harness.states([died[0]]) == ["running"]
    assert recording.counted == []


def test_claims_that_died_with_a_child_are_recorded_at_once(recording: RecorderHarness) -> None:
    begun, waiting = recording.claim(2, held=2)
    recording.recorder.lost("killed by signal 9 (SIGKILL)", [lost(begun), lost(waiting, begun=False)])
    wait_for(lambda: ("child", 2) in recording.counted, 20, "the rescue")
    assert set(recording.harness.states([begun[0], waiting[0]])) == {"queued"}
    crashes = {row.id: row.crashes for row in recording.harness.query("SELECT id, crashes FROM task")}
    assert crashes == {begun[0]: 1, waiting[0]: 0}


def failing_to_lose(monkeypatch: pytest.MonkeyPatch, times: int) -> list[Exception]:
    """The record of a loss fails so many times; the failures that are still to come."""
    failures: list[Exception] = [RuntimeError("out of luck")] * times

    def failing(*args: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return lose(*args, **more)

    monkeypatch.setattr(claims_module, "lose", failing)
    return failures


def test_a_loss_that_cannot_be_recorded_yet_is_tried_again_and_does_not_stop_the_beats(
    recording: RecorderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = failing_to_lose(monkeypatch, 3)
    (held,) = recording.claim(held=1)
    recording.recorder.lost("killed", [lost(held)])
    recording.beats(2)
    wait_for(lambda: recording.harness.states([held[0]]) == ["queued"], 20, "the record")
    assert failures == []


def test_a_worker_that_was_given_up_says_so_once_and_beats_no_more_until_it_is_renewed(
    recording: RecorderHarness,
) -> None:
    old = recording.registration.worker_id
    recording.harness.execute("UPDATE worker SET lost_at = now() WHERE id = :id", id=old)
    assert recording.given_up.wait(20)
    assert not recording.registration.is_registered
    recording.given_up.clear()
    time.sleep(5 * BEAT_SECONDS)
    assert not recording.given_up.is_set()

    recording.recorder.renew()
    wait_for(lambda: recording.registration.is_registered, 20, "the new identity")
    assert recording.registration.worker_id != old
    recording.beats(2)
    assert not recording.given_up.is_set()
    recording.harness.worker_id = recording.registration.worker_id
    assert len(recording.claim()) == 1, "the new identity wins claims"


def test_workers_are_listed_newest_first(harness: Harness) -> None:
    """Ids grow, so that pages stay stable while workers register."""
    started = [RecorderHarness(harness).registration.worker_id for _ in range(6)]
    with harness.engine.connect() as conn:
        listed = [row["id"] for row in fleet.workers(conn, lease=timedelta(seconds=20))]
    assert [worker for worker in listed if worker in started] == started[::-1]


def test_renewing_never_waits_for_the_ledger(own_recording: RecorderHarness, own_postgres: Postgres) -> None:
    own_recording.harness.execute("UPDATE worker SET lost_at = now()")
    assert own_recording.given_up.wait(20)
    own_postgres.stop()
    began = time.monotonic()
    own_recording.recorder.renew()
    assert time.monotonic() - began < 5
    assert not own_recording.registration.is_registered
    own_postgres.start()
    wait_for(lambda: own_recording.registration.is_registered, 30, "the registration")
    own_recording.recorder.stop(5.0)


def test_losses_wait_for_postgresql_and_are_recorded_once_it_is_back(
    own_recording: RecorderHarness, own_postgres: Postgres
) -> None:
    (held,) = own_recording.claim(held=1)
    own_postgres.stop()
    own_recording.recorder.lost("killed", [lost(held)])
    time.sleep(1.0)
    own_postgres.start()
    wait_for(lambda: own_recording.harness.states([held[0]]) == ["queued"], 30, "the record")
    own_recording.recorder.stop(5.0)
    assert own_recording.harness.query("SELECT crashes FROM task")[0].crashes == 1


def test_signing_off_records_what_was_lost_releases_the_rest_and_stops_the_worker(recording: RecorderHarness) -> None:
    begun, held = recording.claim(2, held=2)
    # Both at once: the loss must not be skipped because we are stopping.
    recording.recorder.lost("killed", [lost(begun)])
    recording.recorder.stop(20.0)
    assert recording.harness.states([begun[0], held[0]]) == ["queued", "queued"]
    crashes = {row.id: row.crashes for row in recording.harness.query("SELECT id, crashes FROM task")}
    assert crashes == {begun[0]: 1, held[0]: 0}
    assert (recording.row().state, recording.row().stopped_at is not None) == ("stopped", True)


def test_signing_off_takes_up_what_could_not_be_recorded_before(
    recording: RecorderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = failing_to_lose(monkeypatch, 2)
    (held,) = recording.claim(held=1)
    recording.recorder.lost("killed", [lost(held)])
    wait_for(lambda: len(failures) < 2, 20, "the first try")
    recording.recorder.stop(20.0)
    (row,) = recording.harness.query("SELECT state, crashes FROM task")
    assert (row.state, row.crashes) == ("queued", 1)


def test_signing_off_waits_a_while_for_postgresql_and_not_for_ever(
    own_harness: Harness, own_postgres: Postgres
) -> None:
    recording = RecorderHarness(own_harness)
    recording.recorder.start()
    (held,) = recording.claim(held=1)
    own_postgres.stop()
    back = threading.Timer(1.5, own_postgres.start)
    back.start()
    recording.recorder.stop(40.0)
    back.join()
    assert own_harness.states([held[0]]) == ["queued"]

    recording = RecorderHarness(own_harness)
    recording.recorder.start()
    own_postgres.stop()
    began = time.monotonic()
    recording.recorder.stop(2.0)
    assert time.monotonic() - began < 10
    own_postgres.start()
