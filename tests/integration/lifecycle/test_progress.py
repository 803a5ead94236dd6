"""progress and notes: the newest standing, every line, and none of them from a stale claim."""

from __future__ import annotations

import math
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import Released, State
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.progress import Note, Progress, annotate, progress
from taskyard.store import reads, timeline

from .rows import Worker, claim_of, put


def standing(conn: Connection) -> list[tuple[Any, ...]]:
    rows = conn.execute(sa.text("SELECT task_id, current, total, message FROM task_progress ORDER BY task_id"))
    return [tuple(r) for r in rows]


def lines(conn: Connection) -> list[Any]:
    return list(conn.execute(sa.text("SELECT data FROM task_event ORDER BY id")).scalars())


def test_the_newest_progress_is_what_is_kept(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    claim = claim_of(conn, task_id)
    for n in range(1, 4):
        assert progress(conn, [Progress(task_id, claim, n, 10, f"step {n}")]).answer.keys() == {task_id}
    assert standing(conn) == [(task_id, 3.0, 10.0, "step 3")]
    progress(conn, [Progress(task_id, claim, 4)])
    assert standing(conn) == [(task_id, 4.0, None, "")]


def test_a_batch_tells_whose_claim_holds_and_a_stale_one_writes_nothing(conn: Connection, worker: Worker) -> None:
    fine, stale = (put(conn, State.RUNNING, worker_id=worker.id) for _ in range(2))
    done = put(conn, State.SUCCEEDED)
    batch = [Progress(fine, claim_of(conn, fine), 1), Progress(stale, uuid4(), 1), Progress(done, uuid4(), 1)]
    assert progress(conn, batch).answer.keys() == {fine}
    assert [row[0] for row in standing(conn)] == [fine]
    annotate(conn, [Note(i, uuid4(), "log", {"message": "x"}) for i in (stale, done)])
    assert not lines(conn)
    assert progress(conn, []).answer == {}


def test_lines_keep_their_order_and_their_times(conn: Connection, worker: Worker) -> None:
    ids = [put(conn, State.RUNNING, worker_id=worker.id) for _ in range(2)]
    notes = [Note(ids[n % 2], claim_of(conn, ids[n % 2]), "log", {"n": n}, ago_seconds=50 - n) for n in range(50)]
    annotate(conn, notes)
    assert [d["n"] for d in lines(conn)] == list(range(50))
    spread = conn.execute(sa.text("SELECT extract(epoch FROM max(at) - min(at)) FROM task_event")).scalar_one()
    assert float(spread) == pytest.approx(49)
    annotate(conn, [])


@pytest.mark.parametrize("text", ["\x00", "\ud800 of a file name", "a" * 100_000])
def test_words_that_cannot_be_stored_are_told_without_what_cannot(conn: Connection, worker: Worker, text: str) -> None:
    """Strangers share the batch, and no line may be dropped."""
    ids = [put(conn, State.RUNNING, worker_id=worker.id) for _ in range(2)]
    said = [text, "fine"]
    claims = [claim_of(conn, i) for i in ids]
    batch = [Progress(i, c, 1, message=t) for i, c, t in zip(ids, claims, said, strict=True)]
    assert progress(conn, batch).answer.keys() == set(ids)
    annotate(conn, [Note(i, c, "log", {"message": t, t: 1}) for i, c, t in zip(ids, claims, said, strict=True)])
    kept = text.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert {row[3] for row in standing(conn)} == {kept, "fine"}
    assert [d["message"] for d in lines(conn)] == [kept, "fine"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_does_not_fail_the_progress_of_strangers(
    conn: Connection, worker: Worker, number: float
) -> None:
    ids = [put(conn, State.RUNNING, worker_id=worker.id) for _ in range(2)]
    progress(conn, [Progress(i, claim_of(conn, i), number, number) for i in ids])
    assert [row[1:3] for row in standing(conn)] == [(0.0, None)] * 2
    annotate(conn, [Note(ids[0], claim_of(conn, ids[0]), "stage", {"current": number})])
    assert len(lines(conn)) == 1


def test_a_new_attempt_begins_without_the_progress_of_the_one_before(conn: Connection, worker: Worker) -> None:
    """While it waits for its next attempt a task still says how far it had come."""
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    claim = claim_of(conn, task_id)
    progress(conn, [Progress(task_id, claim, 80, 100, "nearly")])

    def shown() -> tuple[Any, Any]:
        row, line = reads.task_by_id(conn, task_id), timeline.timeline(conn, task_id)
        assert row is not None
        assert line is not None
        return row["progress_current"], line.progress and line.progress[0]

    assert shown() == (80, 80)
    finish(conn, [Finished(task_id, claim, Released("the worker stopped"), 1.0)])
    assert shown() == (80, 80)
    (again,) = worker.claim([task_id])
    assert shown() == (None, None)
    progress(conn, [Progress(task_id, again.claim, 10, 100)])
    assert shown() == (10, 10)
