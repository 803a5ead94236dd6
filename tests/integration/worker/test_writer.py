"""The writer: whatever happens to PostgreSQL, every outcome is recorded, once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Failed, FailureKind, Fault, Released, RetryIn, State, Succeeded
from taskyard.lifecycle.progress import annotate
from taskyard.lifecycle.record import record
from taskyard_dev.postgres import Postgres
from taskyard_worker.child import writer as writer_module
from taskyard_worker.child.slot import Slot
from taskyard_worker.child.writer import End, Writer
from tests.integration.worker.harness import Harness
from tests.support.fleet import wait_for

FAULT = Fault("task_exception", "no", "RuntimeError", True)


def end(slot: Slot, outcome: Any = None) -> End:
    return End(slot, outcome or Succeeded({"value": 1}), 0.01, time.monotonic())


def finish(harness: Harness, writer: Writer, slots: list[Slot], outcomes: list[Any]) -> None:
    """Hands all over at once, so that they come in one batch."""
    for slot, outcome in zip(slots, outcomes, strict=True):
        if slot.phase.name == "BEGUN":
            writer._table.finished(slot, 0.01)
            writer._table.freed(slot, 0.01)
        writer._ends.append(end(slot, outcome))
    writer._wake.set()
    wait_for(lambda: writer._table.busy == 0, 20, "all to be recorded")
    recorded_at = time.monotonic()
    writer._wake.set()
    wait_for(lambda: writer.wrote >= recorded_at, 20, "all to be told")


def test_every_kind_of_end_is_recorded_told_and_frees_its_slot(harness: Harness) -> None:
    table = harness.claim_table(8)
    writer, kept = harness.writer(table)
    slots = harness.hold(table, 4)
    outcomes = [Succeeded({"value": 1}), Failed(FAULT), RetryIn(FAULT, timedelta(seconds=5)), Released("stopping")]
    finish(harness, writer, slots, outcomes)
    rows = harness.rows()
    assert [rows[slot.task_id].state for slot in slots] == ["succeeded", "failed", "retrying", "queued"]
    assert [state for _, state in kept.ends] == [rows[end.slot.task_id].state for end, _ in kept.ends]
    assert {c.task_id: c.state for c in kept.changes} == {i: row.state for i, row in rows.items()}
    assert kept.committed[-1].wakes_scheduler
    assert [p.task_id for p in kept.committed[-1].publications] == [slots[3].task_id]
    assert kept.committed[-1].outbox_ids
    assert list(table._table.entries()) == []


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param({"value": "a\x00b"}, id="NUL"),
        pytest.param({"value": object()}, id="not JSON"),
    ],
)
def test_an_outcome_that_cannot_be_stored_fails_alone_in_its_batch(harness: Harness, poison: Any) -> None:
    table = harness.claim_table(64)
    writer, kept = harness.writer(table)
    slots = harness.hold(table, 40)
    outcomes: list[Any] = [Succeeded({"value": n}) for n in range(40)]
    outcomes[17] = Succeeded(poison)
    finish(harness, writer, slots, outcomes)
    rows = harness.rows()
    states = [rows[slot.task_id].state for slot in slots]
    assert states == ["succeeded"] * 17 + ["failed"] + ["succeeded"] * 22
    error = rows[slots[17].task_id].error
    assert (error["code"], error["retryable"]) == ("result_not_storable", False)
    assert len(kept.ends) == 40
    assert kept.fences == []
    assert len({change.task_id for change in kept.changes}) == 40
    (condemned,) = [e for e, _ in kept.ends if isinstance(e.outcome, Failed)]
    assert condemned.outcome.fault.kind is FailureKind.INVALID  # type: ignore[union-attr]


def test_an_end_that_cannot_be_recorded_even_as_a_failure_is_dropped_and_delays_no_other(harness: Harness) -> None:
    table = harness.claim_table(8)
    writer, _ = harness.writer(table)
    hopeless, fine = harness.hold(table, 2)
    harness.execute(
        "ALTER TABLE task_attempt ADD CONSTRAINT test_hopeless CHECK (task_id <> '" + str(hopeless.task_id) + "')"
    )
    try:
        finish(harness, writer, [hopeless, fine], [Succeeded({}), Succeeded({})])
    finally:
        harness.execute("ALTER TABLE task_attempt DROP CONSTRAINT test_hopeless")
    assert harness.states([hopeless.task_id, fine.task_id]) == ["running", "succeeded"]
    assert list(table._table.entries()) == [], "so that the heartbeat finds the claim unheld"


def test_the_end_of_a_lost_claim_is_fenced_and_its_slot_is_free(harness: Harness) -> None:
    table = harness.claim_table(8)
    writer, kept = harness.writer(table)
    stale, held = harness.hold(table, 2)
    other = uuid4()
    harness.execute("UPDATE task SET claim = :claim WHERE id = :id", claim=other, id=stale.task_id)
    finish(harness, writer, [stale, held], [Succeeded({}), Succeeded({})])
    assert harness.states([stale.task_id, held.task_id]) == ["running", "succeeded"]
    assert harness.rows()[stale.task_id].claim == other
    assert [end.slot for end in kept.fences] == [stale]
    assert [end.slot for end, _ in kept.ends] == [held]


def test_an_end_whose_record_was_not_answered_is_counted_and_told_as_recorded_and_a_stale_one_as_fenced(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = harness.claim_table(8)
    writer, kept = harness.writer(table)
    slots = harness.hold(table, 4)
    stale = slots[3]
    harness.execute("UPDATE task SET claim = :claim WHERE id = :id", claim=uuid4(), id=stale.task_id)
    answered: list[bool] = []

    def lossy(conn: Any, *arguments: Any, **more: Any) -> Any:
        done = record(conn, *arguments, **more)
        answered.append(bool(answered))
        if answered == [False]:
            raise LedgerUnavailable("the answer got lost")
        return done

    monkeypatch.setattr(writer_module, "record", lossy)
    outcomes = [Succeeded({}), Failed(FAULT), RetryIn(FAULT, timedelta(seconds=5)), Succeeded({})]
    finish(harness, writer, slots, outcomes)
    assert len(answered) > 1
    states = [State.SUCCEEDED, State.FAILED, State.RETRYING]
    assert [(end.slot, state) for end, state in kept.ends] == list(zip(slots, states, strict=False))
    assert [end.slot for end in kept.fences] == [stale]
    assert {c.task_id: c.state for c in kept.changes} == {
        s.task_id: state for s, state in zip(slots, states, strict=False)
    }
    assert kept.committed[-1].wakes_scheduler


def test_two_ends_of_one_task_are_recorded_once_and_counted_once_each(harness: Harness) -> None:
    # Given up, run by another, claimed here again, while the first run's end still waits to be written.
    table = harness.claim_table(8)
    writer, kept = harness.writer(table)
    (old,) = harness.hold(table)
    harness.execute("UPDATE task SET state = 'queued', claim = NULL WHERE id = :id", id=old.task_id)
    claim = uuid4()
    (new,) = table.settle(table.enter([old.task_id], claim), harness.claim([old.task_id], claim))
    table.begin(new)
    finish(harness, writer, [new, old], [Succeeded({"value": "new"}), Succeeded({"value": "old"})])
    row = harness.rows()[old.task_id]
    assert (row.state, row.result) == ("succeeded", {"value": "new"})
    assert (len(kept.ends), len(kept.fences)) == (1, 1)


def test_while_postgresql_is_away_nothing_is_skipped_and_nothing_is_recorded_twice(
    own_harness: Harness, own_postgres: Postgres
) -> None:
    table = own_harness.claim_table(64)
    writer, kept = own_harness.writer(table)
    slots = own_harness.hold(table, 50)
    own_postgres.stop("immediate")
    for n, slot in enumerate(slots):
        writer.note(slot.task_id, slot.claim, "log", {"message": f"line {n}", "level": "info"})
        writer.progress(slot.task_id, slot.claim, n, 50, "half")
        table.finished(slot, 0.01)
        table.freed(slot, 0.01)
        writer.end(end(slot, Succeeded({"value": n})))
        time.sleep(0.02)
    assert table.busy == 50
    assert time.monotonic() - writer.wrote < 5, "waiting for PostgreSQL is not being stuck"
    own_postgres.start()
    wait_for(lambda: table.busy == 0, 20, "all to be recorded")
    rows = own_harness.rows()
    assert [rows[s.task_id].result for s in slots] == [{"value": n} for n in range(50)]
    assert len(own_harness.query("SELECT 1 FROM task_attempt")) == 50
    lines = own_harness.query("SELECT task_id, data FROM task_event WHERE kind = 'log' ORDER BY id")
    assert [(row.task_id, row.data["message"]) for row in lines] == [
        (slot.task_id, f"line {n}") for n, slot in enumerate(slots)
    ]
    standing = {row.task_id: row.current for row in own_harness.query("SELECT * FROM task_progress")}
    assert standing == {slot.task_id: n for n, slot in enumerate(slots)}
    assert len(kept.ends) == 50
    # When they ended, not when they could be written.
    spread = own_harness.query("SELECT extract(epoch FROM max(finished_at) - min(finished_at)) AS s FROM task_attempt")
    assert 0.5 < spread[0].s < 10


def test_a_statement_that_fails_for_another_reason_is_repeated_and_drops_no_line(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = harness.claim_table(8)
    writer, _ = harness.writer(table)
    (slot,) = harness.hold(table)
    failures: list[Exception] = [
        sa.exc.OperationalError("", {}, Exception("canceling statement due to lock timeout")),
        RuntimeError("a bug"),
    ]
    failures[0].orig.sqlstate = "55P03"  # type: ignore[attr-defined]

    def failing(conn: Any, notes: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return annotate(conn, notes)

    monkeypatch.setattr(writer_module, "annotate", failing)
    writer.note(slot.task_id, slot.claim, "log", {"message": "kept", "level": "info"})
    finish(harness, writer, [slot], [Succeeded({})])
    assert failures == []
    lines = harness.query("SELECT data FROM task_event WHERE kind = 'log'")
    assert [row.data["message"] for row in lines] == ["kept"]
    assert harness.states([slot.task_id]) == ["succeeded"]


def test_a_failing_observer_costs_neither_a_slot_nor_the_writer(harness: Harness) -> None:
    table = harness.claim_table(8)
    writer, kept = harness.writer(table)

    def failing(ends: Sequence[tuple[End, State]]) -> None:
        raise KeyError("a bug")

    kept.recorded = failing  # type: ignore[method-assign]
    for _ in range(2):
        slots = harness.hold(table, 2)
        finish(harness, writer, slots, [Succeeded({})] * 2)
        assert harness.states([s.task_id for s in slots]) == ["succeeded"] * 2
    assert len(kept.changes) == 4


def test_lines_and_the_last_progress_of_a_task_are_written_before_its_end(harness: Harness) -> None:
    table = harness.claim_table(64)
    writer, _ = harness.writer(table)
    slots = harness.hold(table, 20)
    for slot in slots:
        for n in range(200):  # more lines at once than a page
            writer.note(slot.task_id, slot.claim, "log", {"message": f"line {n}", "level": "info"})
            writer.progress(slot.task_id, slot.claim, n, 200, f"step {n}")
    finish(harness, writer, slots, [Succeeded({})] * 20)
    for slot in slots:
        rows = harness.query(
            "SELECT data FROM task_event WHERE task_id = :id AND kind = 'log' ORDER BY id", id=slot.task_id
        )
        assert [row.data["message"] for row in rows] == [f"line {n}" for n in range(200)]
    standing = harness.query("SELECT current, message FROM task_progress")
    assert {(row.current, row.message) for row in standing} == {(199, "step 199")}
    assert len(standing) == 20


def test_progress_is_written_at_most_some_four_times_a_second_and_the_last_one_always(harness: Harness) -> None:
    harness.execute("""
        CREATE TABLE test_writes (task_id uuid);
        CREATE FUNCTION test_count() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO test_writes VALUES (new.task_id); RETURN new; END';
        CREATE TRIGGER test_count AFTER INSERT OR UPDATE ON task_progress FOR EACH ROW EXECUTE FUNCTION test_count()
    """)
    try:
        table = harness.claim_table(64)
        writer, _ = harness.writer(table)
        (long,) = harness.hold(table)
        began, n = time.monotonic(), 0
        while time.monotonic() - began < 2.0 or n < 15 * 200:
            # Other, quick tasks end all the time.
            (quick,) = harness.hold(table)
            writer.note(quick.task_id, quick.claim, "log", {"message": "hello", "level": "info"})
            for _ in range(200):
                n += 1
                writer.progress(long.task_id, long.claim, n, None, "")
            table.finished(quick, 0.001)
            table.freed(quick, 0.001)
            writer.end(end(quick))
        table.finished(long, 2.0)
        table.freed(long, 2.0)
        writer.end(end(long))
        wait_for(lambda: table.busy == 0, 10, "the ends")
        took = time.monotonic() - began
        writes = len(harness.query("SELECT 1 FROM test_writes WHERE task_id = :id", id=long.task_id))
        assert 3 <= writes <= took / writer_module.PROGRESS_SECONDS + 3, f"in {took:.1f} s"
        assert harness.query("SELECT current FROM task_progress")[0].current == n
        assert len(harness.query("SELECT 1 FROM task_event WHERE kind = 'log'")) > 10
    finally:
        harness.execute("DROP TABLE test_writes; DROP FUNCTION test_count CASCADE")


def test_the_first_word_of_an_idle_child_does_not_wait_for_a_second(harness: Harness) -> None:
    table = harness.claim_table(8)
    writer, _ = harness.writer(table)
    (slot,) = harness.hold(table)

    def is_written(current: int) -> bool:
        return bool(harness.query("SELECT FROM task_progress WHERE current = :n", n=current))

    took = []
    for n in range(1, 4):
        writer._wake.set()
        time.sleep(0.05)  # it sleeps again by now, for a second
        began = time.monotonic()
        writer.progress(slot.task_id, slot.claim, n, 3, "")
        wait_for(partial(is_written, n), 5, "the progress")
        took.append(time.monotonic() - began)
    # The best of three: other processes on this machine may delay one of them.
    assert min(took) < 0.6


@pytest.mark.parametrize("word", ["a\x00b", "\ud800", "x" * 300_000])
def test_lines_and_messages_that_postgresql_cannot_hold_are_mended_and_the_others_are_written(
    harness: Harness, word: str
) -> None:
    table = harness.claim_table(8)
    writer, _ = harness.writer(table)
    odd, other = harness.hold(table, 2)
    for slot, text in ((odd, word), (other, "fine")):
        writer.progress(slot.task_id, slot.claim, float("nan") if slot is odd else 1, float("inf"), text)
        writer.note(slot.task_id, slot.claim, "log", {"message": text, "level": "info"})
    finish(harness, writer, [odd, other], [Succeeded({})] * 2)
    lines = {r.task_id: r.data["message"] for r in harness.query("SELECT * FROM task_event WHERE kind = 'log'")}
    assert lines[other.task_id] == "fine"
    assert len(lines[odd.task_id]) == len(word)
    assert len(harness.query("SELECT 1 FROM task_progress")) == 2


def test_a_batch_holds_many_ends_and_none_is_left_behind(harness: Harness) -> None:
    table = harness.claim_table(256)
    writer, kept = harness.writer(table)
    slots = [slot for _ in range(4) for slot in harness.hold(table, 200)]
    finish(harness, writer, slots, [Succeeded({"value": 1})] * 800)
    assert set(harness.states([s.task_id for s in slots])) == {"succeeded"}
    assert len(kept.ends) == 800
    assert len(kept.committed) < 20
    assert len(table._free) == table._table.size


def test_a_stopping_writer_writes_what_is_left_and_ends(harness: Harness) -> None:
    table = harness.claim_table(8)
    writer, _ = harness.writer(table)
    slots = harness.hold(table, 3)
    writer.progress(slots[0].task_id, slots[0].claim, 5, 10, "")
    for slot in slots[1:]:
        table.finished(slot, 0.01)
        table.freed(slot, 0.01)
        writer.end(end(slot))
    assert writer.stop(5.0)
    assert harness.states([s.task_id for s in slots]) == ["running", "succeeded", "succeeded"]
    assert harness.query("SELECT current FROM task_progress")[0].current == 5
