"""marks: where a task's walk is, for the next attempt, and from nobody but the attempt that holds it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from taskyard.domain.errors import Fenced
from taskyard.domain.tasks import Failed, RetryIn, State
from taskyard.lifecycle import marks
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.retry import retry

from .rows import FAULT, Worker, claim_of, put


def test_a_mark_moves_with_the_claim_and_stays_for_the_next_attempt(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    assert marks.position(conn, task_id) == 0
    claim = claim_of(conn, task_id)
    for to in (100, 200):
        marks.move(conn, task_id, claim, to)
        assert marks.position(conn, task_id) == to
    finish(conn, [Finished(task_id, claim, RetryIn(FAULT, timedelta(0)))])
    assert marks.position(conn, task_id) == 200


def test_an_attempt_that_was_given_up_moves_no_mark(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    marks.move(conn, task_id, claim_of(conn, task_id), 100)
    with pytest.raises(Fenced):
        marks.move(conn, task_id, uuid4(), 50)
    assert marks.position(conn, task_id) == 100


def test_a_retry_that_a_person_asks_for_goes_on_where_it_stopped(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    claim = claim_of(conn, task_id)
    marks.move(conn, task_id, claim, 100)
    finish(conn, [Finished(task_id, claim, Failed(FAULT))])
    retry(conn, [task_id], life=timedelta(hours=1))
    assert marks.position(conn, task_id) == 100
