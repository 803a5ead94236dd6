"""Workers: who is registered, who beats, and which running rows are held for whom."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import State
from taskyard.lifecycle import workers
from tests.support.ledger import worker_info

from .rows import Worker, put, read, register


def row_of(conn: Connection, worker_id: object) -> sa.Row[tuple[object, ...]]:
    return conn.execute(sa.text("SELECT * FROM worker WHERE id = :id"), {"id": worker_id}).one()


def test_registering_again_is_harmless(conn: Connection) -> None:
    info = worker_info(name="w-1", pid=7, queues=["a", "b"], task_types=["x.y"], processes=2, threads=8)
    workers.register(conn, info)
    workers.register(conn, info)
    row = row_of(conn, info.id)
    assert (row.name, row.host, row.pid, row.queues, row.processes, row.threads) == ("w-1", "h", 7, ["a", "b"], 2, 8)
    assert (row.state, row.lost_at, row.stopped_at) == ("running", None, None)


def test_a_beat_tells_how_the_worker_is(conn: Connection, worker: Worker) -> None:
    conn.execute(sa.text("UPDATE worker SET beat_at = now() - interval '1 hour'"))
    begun = [put(conn, State.RUNNING, worker_id=worker.id)]
    beat = workers.Beat(worker_id=worker.id, state="draining", memory_bytes=2**40, children=[{"pid": 3}], begun=begun)
    assert workers.beat(conn, beat)
    row = row_of(conn, worker.id)
    assert (row.state, row.memory_bytes, row.children, row.begun) == ("draining", 2**40, [{"pid": 3}], begun)
    age = conn.execute(sa.text("SELECT now() - beat_at FROM worker")).scalar_one()
    assert age.total_seconds() < 30


def test_who_was_given_up_stopped_or_never_known_is_told_so_at_its_beat(conn: Connection) -> None:
    lost, stopped = register(conn), register(conn)
    conn.execute(sa.text("UPDATE worker SET lost_at = now() WHERE id = :id"), {"id": lost})
    workers.retire(conn, stopped)
    for worker_id in (lost, stopped, new_id()):
        assert not workers.beat(conn, workers.Beat(worker_id=worker_id))
    assert row_of(conn, stopped).state == "stopped"


def test_stopping_twice_keeps_the_first_time(conn: Connection, worker: Worker) -> None:
    workers.retire(conn, worker.id)
    first = row_of(conn, worker.id).stopped_at
    workers.retire(conn, worker.id)
    assert row_of(conn, worker.id).stopped_at == first


def test_held_are_a_workers_running_rows_in_whatever_queue(conn: Connection, worker: Worker) -> None:
    other = register(conn)
    mine = {put(conn, State.RUNNING, worker_id=worker.id, queue=q) for q in ("default", "b", "unconfigured")}
    put(conn, State.RUNNING, worker_id=other)
    for state in set(State) - {State.RUNNING}:
        put(conn, state)
    held = workers.held(conn, worker.id)
    assert {h.task_id: (h.claim, h.queue) for h in held} == {
        i: (read(conn, i).claim, read(conn, i).queue) for i in mine
    }


def test_queues_keep_what_was_set_on_them(conn: Connection) -> None:
    workers.ensure_queues(conn, ["a", "b", "a"])
    conn.execute(sa.text("UPDATE queue SET paused_at = now() WHERE name = 'a'"))
    workers.ensure_queues(conn, ["a", "c"])
    workers.ensure_queues(conn, [])
    assert conn.execute(sa.text("SELECT name FROM queue WHERE paused_at IS NOT NULL")).scalars().all() == ["a"]
    assert set(conn.execute(sa.text("SELECT name FROM queue")).scalars()) == {"a", "b", "c"}
