"""What becomes of due times: each once, whatever was missed, and none waits for the others."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.admission.invalid import Invalid
from taskyard.catalogue.secrets import Cipher
from taskyard.lifecycle.committed import Committed
from taskyard.schedules import changes, firing
from taskyard.schedules.firing import MOST_FIRES, MOST_SCHEDULES, Fired, fire_due
from taskyard.store import ledger, schedules
from taskyard.store.audit import Actor
from taskyard.store.schedules import Schedule
from taskyard_scheduler.metrics import ScheduleMetrics
from taskyard_scheduler.retention import Retention
from taskyard_scheduler.schedules import Schedules, StandingSchedules
from tests.support.fleet import wait_for
from tests.support.ledger import new_task
from tests.support.scheduling import LeaderParts, execute, make_worker, scalar
from tests.support.specs import register_kits

BY = Actor("test")
GRACE = timedelta(seconds=10)
LEASE = timedelta(seconds=60)


@pytest.fixture
def worker(leader: LeaderParts, engine: Engine) -> UUID:
    """A live worker that runs the type of the schedules."""
    worker_id = make_worker(engine)
    execute(
        engine, "INSERT INTO worker_type (worker_id, name, version) VALUES (:id, 'diagnostics.echo', 1)", id=worker_id
    )
    return worker_id


@pytest.fixture
def fired(leader: LeaderParts, worker: UUID) -> Schedules:
    return Schedules(leader.leadership, leader.dispatcher, ScheduleMetrics(leader.telemetry), grace=GRACE, lease=LEASE)


def make(engine: Engine, name: str = "each minute", **more: Any) -> Schedule:
    wanted = {
        "name": name, "trigger": {"every_seconds": 60}, "misfire": "once", "overlap": "allow",
        "catch_up_seconds": 86_400.0, "start_at": None, "end_at": None, "jitter_seconds": 0.0, "enabled": True, **more,
    }  # fmt: skip
    return ledger.run_transaction(engine, lambda conn: changes.create(conn, wanted, new_task(), BY))


def let_pass(engine: Engine, seconds: float) -> None:
    """As if the schedules had been made so much earlier, and nothing had been fired since."""
    passed = f"interval '{seconds} seconds'"
    execute(
        engine,
        f"UPDATE schedule SET anchored_at = anchored_at - {passed}, next_due_at = next_due_at - {passed},"
        f" fires_at = fires_at - {passed}",
    )


def copy(engine: Engine, count: int) -> None:
    """As many schedules like the one that there is; each is due a second later than the one before."""
    execute(
        engine,
        """INSERT INTO schedule SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid(),
            'name', 'n' || n, 'next_due_at', s.next_due_at + n * interval '1 second',
            'fires_at', s.fires_at + n * interval '1 second'))).*
        FROM schedule s, generate_series(1, :count) n""",
        count=count,
    )
    execute(engine, "ANALYZE schedule")


def outcomes(engine: Engine) -> list[tuple[str, int]]:
    with engine.connect() as conn:
        rows = conn.exec_driver_sql("SELECT outcome, count(*) FROM schedule_fire GROUP BY outcome ORDER BY 1")
        return [tuple(row) for row in rows]


def test_a_due_time_is_a_fire_a_task_and_a_message_and_moves_the_cursor(
    leader: LeaderParts, fired: Schedules, engine: Engine
) -> None:
    made = make(engine)
    assert 0 < fired.turn() <= 1
    assert outcomes(engine) == []
    let_pass(engine, 61)
    fired.turn()
    with engine.connect() as conn:
        (fire,) = schedules.fires_page(conn, made.id, limit=10)
        now = schedules.get(conn, made.id)
        task = conn.execute(sa.text("SELECT * FROM task")).one()
    assert now is not None
    assert now.next_due_at is not None
    assert (fire.outcome, fire.task_id, task.schedule_id, task.state) == ("submitted", task.id, made.id, "queued")
    assert now.next_due_at - fire.due_at == timedelta(seconds=60)
    assert (now.last_task_id, now.last_due_at, now.version) == (task.id, fire.due_at, made.version)
    assert leader.value("schedule_fires_total", outcome="submitted") == 1
    assert leader.value("schedule_drift_seconds_count") == 1


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("skip", [("misfired", 5)]),
        ("once", [("coalesced", 4), ("submitted", 1)]),
        ("all", [("submitted", 5)]),
    ],
)
def test_what_was_missed_is_skipped_made_up_for_once_or_each(
    fired: Schedules, engine: Engine, misfire: str, expected: list[tuple[str, int]]
) -> None:
    make(engine, misfire=misfire)
    let_pass(engine, 5 * 60 + 30)
    fired.turn()
    assert outcomes(engine) == expected
    fired.turn()
    assert outcomes(engine) == expected, "the cursor has passed them"


@pytest.mark.parametrize("down", [505, 1005])
def test_one_task_makes_up_for_more_than_one_part_of_a_backlog(fired: Schedules, engine: Engine, down: int) -> None:
    """What is left after parts of 500 must not pass for what is on time."""
    make(engine, trigger={"every_seconds": 1})
    let_pass(engine, down)
    last_missed = scalar(engine, "SELECT now()")
    for _ in range(3):
        fired.turn()
    made_up = scalar(
        engine,
        "SELECT count(*) FROM schedule_fire WHERE outcome = 'submitted' AND due_at <= :last",
        last=last_missed,
    )
    assert made_up <= 1
    assert dict(outcomes(engine))["coalesced"] >= down - 1


def test_jitter_that_is_longer_than_the_interval_drops_nothing(fired: Schedules, engine: Engine) -> None:
    """One that is put off by minutes holds up what is due after it: that was not missed."""
    make(engine, trigger={"every_seconds": 1}, jitter_seconds=300.0, misfire="skip")
    let_pass(engine, 302)
    for _ in range(3):
        execute(engine, "UPDATE schedule SET fires_at = now()")
        fired.turn()
        let_pass(engine, 5)
    assert [outcome for outcome, _ in outcomes(engine)] == ["submitted"]


def test_what_is_being_edited_takes_no_place_from_others(engine: Engine, worker: UUID) -> None:
    for name in "ab":
        make(engine, name=name)
    let_pass(engine, 61)
    execute(engine, "UPDATE schedule SET fires_at = fires_at - interval '1 second' WHERE name = 'a'")
    with engine.connect() as editor, engine.connect() as conn:
        for one in (editor, conn):
            one.execution_options(isolation_level="READ COMMITTED")
        with editor.begin(), conn.begin():
            editor.exec_driver_sql("SELECT FROM schedule WHERE name = 'a' FOR UPDATE")
            done = fire_due(conn, grace=GRACE, led=GRACE, lease=LEASE, limit=1)
    assert done.answer.outcomes == ["submitted"]


def test_what_is_older_than_catch_up_seconds_is_one_row(fired: Schedules, engine: Engine) -> None:
    made = make(engine, misfire="all", catch_up_seconds=120.0)
    let_pass(engine, 90 * 86_400 + 50)
    fired.turn()
    assert outcomes(engine) == [("submitted", 2), ("too_old", 1)]
    with engine.connect() as conn:
        oldest = schedules.fires_page(conn, made.id, limit=10)[-1]
    assert oldest.until is not None
    assert oldest.until - oldest.due_at > timedelta(days=89)


UNMOVED: list[dict[str, Any]] = [
    {"trigger": {"every_seconds": 60}, "start_at": None, "enabled": True, "jitter_seconds": 0.0},
    {"jitter_seconds": 20.0},
    {"end_at": datetime(2100, 1, 1, tzinfo=UTC)},
]


@pytest.mark.parametrize("given", UNMOVED, ids=["as it is", "jitter", "later end"])
def test_an_edit_leaves_what_is_due(fired: Schedules, engine: Engine, given: dict[str, Any]) -> None:
    made = make(engine, misfire="all")
    let_pass(engine, 3 * 60 + 30)

    edited = ledger.run_transaction(engine, lambda conn: edit(conn, made.id, given))
    assert edited.version == made.version + 1
    fired.turn()
    assert outcomes(engine) == [("submitted", 3)]


def edit(conn: Connection, schedule_id: UUID, given: dict[str, Any]) -> Schedule:
    now = schedules.get(conn, schedule_id, lock=True)
    assert now is not None
    return changes.change(conn, now, given, None, BY)


def test_of_what_is_due_an_earlier_end_leaves_what_comes_before_it(fired: Schedules, engine: Engine) -> None:
    made = make(engine, misfire="all")
    let_pass(engine, 4 * 60 + 30)
    with engine.connect() as conn:
        now = schedules.get(conn, made.id)
    assert now is not None
    assert now.next_due_at is not None
    first, second = now.next_due_at, now.next_due_at + timedelta(seconds=60)
    with pytest.raises(Invalid) as e:
        ledger.run_transaction(engine, lambda conn: edit(conn, made.id, {"end_at": first - timedelta(seconds=1)}))
    assert [fault.pointer for fault in e.value.faults] == ["/end_at"]
    ledger.run_transaction(engine, lambda conn: edit(conn, made.id, {"end_at": second}))
    fired.turn()
    assert outcomes(engine) == [("submitted", 2)]


def test_a_new_trigger_begins_anew(fired: Schedules, engine: Engine) -> None:
    made = make(engine, misfire="all")
    let_pass(engine, 3 * 60 + 30)
    given = {"trigger": {"every_seconds": 3600}}
    ledger.run_transaction(engine, lambda conn: changes.change(conn, made, given, None, BY))
    fired.turn()
    assert outcomes(engine) == []


def test_a_change_of_leaders_misses_nothing(fired: Schedules, engine: Engine) -> None:
    make(engine, trigger={"every_seconds": 1}, misfire="skip")
    let_pass(engine, GRACE.total_seconds() - 1)
    fired.turn()
    assert [outcome for outcome, _ in outcomes(engine)] == ["submitted"]


def test_a_backlog_is_worked_off_in_parts(fired: Schedules, engine: Engine) -> None:
    make(engine, trigger={"every_seconds": 1}, misfire="all")
    let_pass(engine, 1200)
    turns = 0
    while scalar(engine, "SELECT next_due_at <= now() FROM schedule"):
        fired.turn()
        turns += 1
        assert turns < 10
    due = scalar(engine, "SELECT count(*) FROM schedule_fire")
    span = scalar(engine, "SELECT extract(epoch FROM max(due_at) - min(due_at)) FROM schedule_fire")
    assert due == scalar(engine, "SELECT count(*) FROM task") >= 1200
    assert span == due - 1, "no gap"
    assert turns >= 3


@pytest.mark.parametrize("misfire", ["skip", "once"])
def test_a_backlog_of_many_is_worked_off_in_short_turns_between_which_people_are_heard(
    fired: Schedules, engine: Engine, misfire: str
) -> None:
    """500 schedules with 4,000 due times each: all of them move, and one that is paused has no fires any more."""
    made = make(engine, trigger={"every_seconds": 1}, misfire=misfire)
    copy(engine, MOST_SCHEDULES - 1)
    let_pass(engine, 4000)
    fired.turn()
    assert scalar(engine, "SELECT count(*) FROM schedule_fire") == MOST_FIRES
    assert scalar(engine, "SELECT count(DISTINCT schedule_id) FROM schedule_fire") == MOST_SCHEDULES
    ledger.run_transaction(engine, partial(changes.switch, schedule=made, enabled=False, by=BY))
    fired.turn()
    count = "SELECT count(*) FROM schedule_fire WHERE schedule_id = :id"
    assert scalar(engine, count, id=made.id) == MOST_FIRES / MOST_SCHEDULES
    assert scalar(engine, "SELECT count(*) FROM schedule_fire") > 1.9 * MOST_FIRES


@pytest.mark.parametrize("backlogs", [10, 2 * MOST_SCHEDULES])
def test_what_is_due_now_does_not_wait_for_the_backlog_of_others(
    fired: Schedules, engine: Engine, backlogs: int
) -> None:
    make(engine, trigger={"every_seconds": 1}, misfire="all")
    copy(engine, backlogs - 1)
    let_pass(engine, 5000)
    fresh = make(engine, "fresh", misfire="skip")
    execute(engine, "UPDATE schedule SET next_due_at = now(), fires_at = now() WHERE name = 'fresh'")
    fired.turn()
    with engine.connect() as conn:
        assert [fire.outcome for fire in schedules.fires_page(conn, fresh.id, limit=9)] == ["submitted"]
    shares = "SELECT max(n) - min(n) FROM (SELECT count(*) n FROM schedule_fire GROUP BY schedule_id) n WHERE n > 1"
    assert (scalar(engine, shares) or 0) <= 1, "each backlog has the same share of the turn"


def test_a_due_time_while_the_last_task_runs_is_skipped(fired: Schedules, engine: Engine) -> None:
    make(engine, overlap="skip", misfire="all")
    for _ in range(2):
        let_pass(engine, 61)
        fired.turn()
    assert outcomes(engine) == [("overlap", 1), ("submitted", 1)]
    execute(engine, "DELETE FROM task")  # archived, as final tasks are
    let_pass(engine, 61)
    fired.turn()
    assert outcomes(engine) == [("overlap", 1), ("submitted", 2)]


def test_a_task_that_was_submitted_while_the_leader_waited_for_the_row_still_runs(
    fired: Schedules, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, after the statement of the leader began and before it had the lock."""
    made = make(engine, overlap="skip")
    let_pass(engine, 61)
    gated = str(firing._DUE).replace("fires_at IS NOT NULL", "fires_at IS NOT NULL AND (SELECT count(*) FROM gate) = 1")
    gate = "WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock(1)) "
    monkeypatch.setattr(firing, "_DUE", sa.text(gate + gated))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted"
    turn = Thread(target=fired.turn)
    with engine.connect() as conn:
        conn.execute(sa.text("SELECT pg_advisory_lock(1)"))
        turn.start()
        wait_for(lambda: scalar(engine, waiting) == 1)
        ledger.run_transaction(engine, partial(changes.trigger, schedule=made, by=BY))
        conn.execute(sa.text("SELECT pg_advisory_unlock(1)"))
    turn.join()
    assert outcomes(engine) == [("overlap", 1), ("submitted", 1)]


def test_a_due_time_that_has_its_fire_stands_in_the_way_of_no_other(fired: Schedules, engine: Engine) -> None:
    made = make(engine, overlap="skip", misfire="all")
    let_pass(engine, 121)
    execute(
        engine,
        "INSERT INTO schedule_fire (schedule_id, due_at, outcome) SELECT id, next_due_at, 'unusable' FROM schedule",
    )
    fired.turn()
    assert outcomes(engine) == [("submitted", 1), ("unusable", 1)]
    with engine.connect() as conn:
        assert [fire.outcome for fire in schedules.fires_page(conn, made.id, limit=9)] == ["submitted", "unusable"]


def test_a_type_that_no_live_worker_has_is_a_fire_with_that_reason(
    leader: LeaderParts, fired: Schedules, engine: Engine, worker: UUID
) -> None:
    """It waits for one until the grace time is over, so that the restart of a worker costs nothing."""
    leader.clock.now += GRACE.total_seconds()
    execute(engine, "UPDATE worker SET stopped_at = now() WHERE id = :id", id=worker)
    make(engine)
    let_pass(engine, 61)
    fired.turn()
    assert outcomes(engine) == []
    let_pass(engine, GRACE.total_seconds())
    fired.turn()
    assert outcomes(engine) == [("no_live_worker", 1)]
    let_pass(engine, 61 - GRACE.total_seconds())
    fired.turn()
    execute(engine, "UPDATE worker SET stopped_at = NULL WHERE id = :id", id=worker)
    execute(engine, "UPDATE schedule SET fires_at = now()")
    fired.turn()
    assert outcomes(engine) == [("no_live_worker", 1), ("submitted", 1)]


@pytest.mark.parametrize("misfire", ["once", "all"])
def test_workers_that_come_back_after_the_scheduler_lose_nothing(
    leader: LeaderParts, fired: Schedules, engine: Engine, worker: UUID, misfire: str
) -> None:
    execute(engine, "UPDATE worker SET stopped_at = now() WHERE id = :id", id=worker)
    make(engine, misfire=misfire)
    let_pass(engine, 3 * 60 + 30)
    leader.clock.now += GRACE.total_seconds() - 1
    fired.turn()
    assert outcomes(engine) == [], "this leader has just begun"
    execute(engine, "UPDATE worker SET stopped_at = NULL WHERE id = :id", id=worker)
    execute(engine, "UPDATE schedule SET fires_at = now()")
    fired.turn()
    assert dict(outcomes(engine))["submitted"] == {"once": 1, "all": 3}[misfire]


def test_a_trigger_that_cannot_be_read_harms_no_other_and_goes_on_when_it_can(fired: Schedules, engine: Engine) -> None:
    """As after a release, or time zones, that were taken back."""
    made = {name: make(engine, name=name, misfire="all") for name in "abc"}
    gone = """'{"cron": "* * * * *", "timezone": "Gone/Away"}'"""
    execute(engine, f"UPDATE schedule SET trigger = {gone} WHERE name = 'b'")
    let_pass(engine, 61)
    fired.turn()
    assert outcomes(engine) == [("submitted", 2)]
    held = "SELECT fires_at - now() FROM schedule WHERE name = 'b'"
    assert timedelta(0) < scalar(engine, held) < GRACE, "it would come in time"
    let_pass(engine, GRACE.total_seconds())
    for _ in range(2):
        execute(engine, "UPDATE schedule SET fires_at = now() WHERE name = 'b'")
        fired.turn()
    assert outcomes(engine) == [("submitted", 2), ("unusable", 1)]
    assert scalar(engine, held) > timedelta(seconds=50)
    execute(engine, """UPDATE schedule SET trigger = '{"every_seconds": 1}', fires_at = now() WHERE name = 'b'""")
    fired.turn()
    with engine.connect() as conn:
        last, *others, first = [fire.outcome for fire in schedules.fires_page(conn, made["b"].id, limit=99)]
    assert (first, {last, *others}) == ("unusable", {"submitted"})


def test_two_leaders_at_once_fire_each_due_time_once(fired: Schedules, engine: Engine) -> None:
    """As when one was stopped between the check of its lease and its commit."""
    make(engine)
    let_pass(engine, 61)
    fire: Callable[[Connection], Committed[Fired]] = partial(fire_due, grace=GRACE, led=GRACE, lease=LEASE)
    with engine.connect() as first, engine.connect() as second:
        first.execution_options(isolation_level="READ COMMITTED")
        second.execution_options(isolation_level="READ COMMITTED")
        with first.begin():
            assert fire(first).answer.outcomes == ["submitted"]
            with second.begin():
                assert fire(second).answer.outcomes == [], "the row is locked"
        with second.begin():
            assert fire(second).answer.outcomes == []
    assert scalar(engine, "SELECT count(*) FROM task") == 1


def test_ten_thousand_schedules_do_not_slow_the_turn(leader: LeaderParts, fired: Schedules, engine: Engine) -> None:
    make(engine, name="one", trigger={"cron": "*/5 * * * *", "timezone": "Europe/Budapest"})
    alone = processor_seconds(fired)
    copy(engine, 10_000)
    assert processor_seconds(fired) < 10 * alone, "a turn without work looks at one row of an index"
    execute(engine, "UPDATE schedule SET next_due_at = now(), fires_at = now()")
    fired.turn()
    assert scalar(engine, "SELECT count(*) FROM task") == MOST_SCHEDULES, "the rest comes in the next turns"
    assert scalar(engine, "SELECT count(DISTINCT due_at) FROM schedule_fire") == 1
    assert statements(leader, fired) < 15, "none for each schedule"


def processor_seconds(fired: Schedules) -> float:
    """Of the cheapest of some turns: the first ones also compile statements and connect."""
    found = []
    for _ in range(5):
        began = time.thread_time()
        fired.turn()
        found.append(time.thread_time() - began)
    return min(found)


def statements(leader: LeaderParts, fired: Schedules) -> int:
    counted: list[str] = []

    def count(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        counted.append(statement)

    sa.event.listen(leader.engine, "before_cursor_execute", count)
    fired.turn()
    sa.event.remove(leader.engine, "before_cursor_execute", count)
    return len(counted)


def test_a_declared_schedule_is_made_once_and_then_is_peoples(leader: LeaderParts, engine: Engine) -> None:
    register_kits(engine)
    making = StandingSchedules(leader.leadership, Cipher(()), life=LEASE, lease=LEASE, is_on=True)
    making.turn()
    with engine.connect() as conn:
        made = {one.name: one for one in schedules.page(conn, limit=100)}
    crons = {one.task_name: one.trigger["cron"] for one in made.values()}
    assert crons == {
        "files.cleanup_old": "0 2 * * *",
        "health.check": "0 * * * *",
        "maintenance.cleanup_expired_data": "0 * * * *",
        "models.refresh_cache": "*/30 * * * *",
        "analytics.aggregate": "0 * * * *",
        "maintenance.archive_tasks": "0 3 * * *",
    }
    assert {one.source for one in made.values()} >= {"kit:files", "kit:health", "kit:maintenance"}
    check, clean_up = made["health.check hourly"], made["files.cleanup_old daily"]
    ledger.run_transaction(engine, lambda conn: changes.delete(conn, check, BY))
    ledger.run_transaction(engine, lambda conn: changes.switch(conn, clean_up, enabled=False, by=BY))
    execute(engine, "UPDATE task_type SET digest = 'other'")
    making.turn()
    with engine.connect() as conn:
        now = {one.name: one for one in schedules.page(conn, limit=100)}
    assert now.keys() == made.keys() - {check.name}
    assert not now[clean_up.name].enabled


def test_fires_go_after_their_time(leader: LeaderParts, fired: Schedules, engine: Engine) -> None:
    make(engine)
    let_pass(engine, 61)
    fired.turn()
    Retention(leader.leadership, lease=LEASE).turn()
    assert outcomes(engine) == [("submitted", 1)]
    execute(engine, "UPDATE schedule_fire SET fired_at = fired_at - interval '91 days'")
    Retention(leader.leadership, lease=LEASE).turn()
    assert outcomes(engine) == []
