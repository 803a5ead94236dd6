"""What is asked of workers: drain, restart, another number of children. Their rows keep it until it is done."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.ids import new_id
from taskyard.domain.processes import ProcessRange
from taskyard.lifecycle import control, workers
from taskyard.lifecycle.workers import Asked, Beat
from taskyard.store.audit import Actor

from .rows import register

BY = Actor("key:ops")
LEASE = timedelta(seconds=20)
POOL = partial(control.resize, processes=ProcessRange(2, 8))
VERBS = [control.drain, control.restart, POOL]


def audited(conn: Connection) -> list[tuple[Any, ...]]:
    rows = conn.execute(sa.text("SELECT action, target_type, target_id, details FROM audit ORDER BY id"))
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("verb", "action", "asked", "details"),
    [
        (control.drain, "worker.drain", Asked(drain=True), {}),
        (POOL, "worker.pool", Asked(processes=ProcessRange(2, 8)), {"processes": "2:8"}),
    ],
)
def test_a_worker_reads_what_is_asked_of_it_with_a_heartbeat_and_between_two(
    conn: Connection, verb: Any, action: str, asked: Asked, details: dict[str, Any]
) -> None:
    worker, other = register(conn), register(conn)
    done = verb(conn, [worker], by=BY, lease=LEASE)
    assert (done.answer, done.workers, done.is_silent) == ([worker], [worker], False)
    assert workers.asked(conn, worker) == asked
    assert workers.beat(conn, Beat(worker_id=worker)) == asked
    assert workers.asked(conn, other) == Asked()
    name = conn.execute(sa.text("SELECT name FROM worker WHERE id = :id"), {"id": worker}).scalar_one()
    assert audited(conn) == [(action, "worker", str(worker), {"name": name, **details})]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("how", ["lost_at = now()", "stopped_at = now()", "beat_at = now() - interval '21 seconds'"])
def test_nothing_is_asked_of_a_worker_that_was_lost_or_has_stopped(conn: Connection, verb: Any, how: str) -> None:
    lives, gone = register(conn), register(conn)
    conn.execute(sa.text(f"UPDATE worker SET {how} WHERE id = :id"), {"id": gone})
    assert verb(conn, [gone, lives, new_id()], by=BY, lease=LEASE).answer == [lives]
    assert workers.asked(conn, gone) in {None, Asked()}
    assert len(audited(conn)) == 1


def test_a_worker_that_drains_is_asked_for_nothing_else_and_draining_again_changes_nothing(conn: Connection) -> None:
    asked, signalled = register(conn), register(conn)
    control.drain(conn, [asked], by=BY, lease=LEASE)
    workers.beat(conn, Beat(worker_id=signalled, state="draining"))
    since = conn.execute(sa.text("SELECT drain_asked_at FROM worker WHERE id = :id"), {"id": asked}).scalar_one()
    for verb in (control.restart, POOL):
        assert verb(conn, [asked, signalled], by=BY, lease=LEASE).answer == []
    assert control.drain(conn, [asked], by=BY, lease=LEASE).answer == [asked]
    again = conn.execute(sa.text("SELECT drain_asked_at FROM worker WHERE id = :id"), {"id": asked}).scalar_one()
    assert again == since
    assert len(audited(conn)) == 1, "what changed nothing leaves no row"


def test_a_restart_is_asked_for_until_that_one_is_done_and_a_later_one_is_another(conn: Connection) -> None:
    worker = register(conn)
    control.restart(conn, [worker], by=BY, lease=LEASE)
    first = workers.beat(conn, Beat(worker_id=worker))
    assert first == workers.beat(conn, Beat(worker_id=worker)), "it is not done yet"
    assert first is not None
    control.restart(conn, [worker], by=BY, lease=LEASE)  # in the same transaction, too
    second = workers.beat(conn, Beat(worker_id=worker, restarted_at=first.restart_at))
    assert second is not None
    assert second.restart_at not in {None, first.restart_at}
    assert workers.beat(conn, Beat(worker_id=worker, restarted_at=second.restart_at)) == Asked()


def test_a_number_of_children_is_asked_for_until_the_worker_keeps_it_and_the_last_one_counts(conn: Connection) -> None:
    worker = register(conn)
    for wanted in (ProcessRange(4, 4), ProcessRange(2, 8)):
        control.resize(conn, [worker], wanted, by=BY, lease=LEASE)
    kept = Beat(worker_id=worker, processes=4, processes_set="4")
    assert workers.beat(conn, kept) == Asked(processes=ProcessRange(2, 8))
    assert workers.beat(conn, Beat(worker_id=worker, processes=8, processes_set="2:8")) == Asked()
    row = conn.execute(sa.text("SELECT processes, processes_asked FROM worker WHERE id = :id"), {"id": worker}).one()
    assert tuple(row) == (8, None)
