"""Displaced: a task whose process was ended for another task's fault pays nothing and does not wait a second time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import Publication, Released, State
from taskyard.lifecycle import claim, finish, publish, rescue, retry
from taskyard.lifecycle.claim import kind_name
from taskyard.lifecycle.finish import Finished
from taskyard.lifecycle.put_off import put_off
from taskyard.lifecycle.rescue import Guilt, Lost

from .rows import NAME, QUEUE, Worker, attempts, put, read

CAUSE = "email.send ran longer than its hard limit"


def lose(conn: Connection, task_id: UUID, guilt: Guilt) -> None:
    rescue.lose(conn, [Lost(task_id, read(conn, task_id).claim, guilt, CAUSE)])


def set_apart(conn: Connection) -> dict[UUID, str | None]:
    return claim.set_apart(conn, [QUEUE], types={NAME: 1})


def test_a_displaced_task_pays_nothing_and_comes_before_the_queue_apart_from_others(
    conn: Connection, worker: Worker
) -> None:
    put(conn, State.QUEUED)
    displaced = put(conn, State.RUNNING, worker_id=worker.id)
    lose(conn, displaced, Guilt.DISPLACED)
    row = read(conn, displaced)
    assert (row.state, row.failures, row.crashes, row.suspicions, row.error) == ("queued", 0, 0, 0, None)
    assert attempts(conn, displaced)[0].outcome == "released"
    assert set_apart(conn) == {displaced: kind_name(NAME, None)}
    assert not worker.claim([displaced]), "an ordinary child may run what displaced it"
    (refusal,) = claim.refusals(conn, [displaced], types={NAME: 1})
    assert refusal.reason == "apart"
    assert worker.claim([displaced], apart=True)


@pytest.mark.parametrize("guilts", [[Guilt.DISPLACED, Guilt.DISPLACED], [Guilt.ALIKE]])
def test_what_was_displaced_again_or_is_like_the_task_at_fault_runs_alone(
    conn: Connection, worker: Worker, guilts: list[Guilt]
) -> None:
    task_id = put(conn, State.QUEUED)
    for guilt in guilts:
        assert worker.claim([task_id], apart=True)
        lose(conn, task_id, guilt)
    assert set_apart(conn) == {task_id: None}


def test_a_task_that_has_crashed_runs_alone_and_does_not_crash_among_others(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    lose(conn, task_id, Guilt.GUILTY)
    assert set_apart(conn) == {task_id: None}
    assert not worker.claim([task_id])


def test_those_come_first_that_are_least_likely_at_fault(conn: Connection) -> None:
    crashed = put(conn, State.QUEUED, crashes=1)
    displaced_twice = put(conn, State.QUEUED, displacements=2)
    suspect = put(conn, State.QUEUED, suspicions=1)
    displaced = put(conn, State.QUEUED, displacements=1)
    assert list(set_apart(conn)) == [displaced, suspect, displaced_twice, crashed]


def test_no_kind_waits_behind_all_tasks_of_another(conn: Connection) -> None:
    many = [put(conn, State.QUEUED, displacements=1, submitted_by="mallory") for _ in range(12)]
    one = put(conn, State.QUEUED, displacements=1, submitted_by="alice")
    assert list(set_apart(conn))[:3] == [many[0], one, many[1]]


def test_a_person_s_retry_begins_among_the_others_again(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.FAILED, displacements=2, crashes=1, suspicions=1)
    retry.retry(conn, [task_id], life=timedelta(days=1))
    assert worker.claim([task_id])


def test_what_runs_apart_needs_no_message_and_is_not_published_again(conn: Connection) -> None:
    columns: list[dict[str, Any]] = [{"displacements": 1}, {"crashes": 1}, {"suspicions": 1}]
    for column in columns:
        task_id = put(conn, State.QUEUED, **column)
        number = read(conn, task_id).publication
        conn.execute(sa.text("UPDATE task SET queued_at = now() - interval '1 hour' WHERE id = :id"), {"id": task_id})
        asked = [Publication(task_id, QUEUE, number)]
        assert publish.unpublished(conn, asked, age_seconds=30) == []


@pytest.mark.parametrize("way", ["given back", "innocent"])
def test_what_is_given_back_keeps_its_place_at_the_head_of_its_queue(
    conn: Connection, worker: Worker, way: str
) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    token = read(conn, task_id).claim
    if way == "given back":
        done = finish.finish(conn, [Finished(task_id, token, Released("the worker is stopping"))])
    else:
        done = rescue.lose(conn, [Lost(task_id, token, Guilt.INNOCENT, "its worker was lost")])
    (publication,) = done.publications
    assert publication.is_first
    assert not set_apart(conn)


def test_what_has_crashed_goes_behind_the_others(conn: Connection, worker: Worker) -> None:
    task_id = put(conn, State.RUNNING, worker_id=worker.id)
    (publication,) = rescue.lose(conn, [Lost(task_id, read(conn, task_id).claim, Guilt.GUILTY, CAUSE)]).publications
    assert not publication.is_first


def test_a_slowed_type_of_one_submitter_is_left_alone_and_runs_where_it_runs_apart(
    conn: Connection, worker: Worker
) -> None:
    slowed = [kind_name(NAME, "mallory")]
    of_mallory = put(conn, State.QUEUED, submitted_by="mallory")
    of_others = [put(conn, State.QUEUED, submitted_by="ada"), put(conn, State.QUEUED)]
    displaced = put(conn, State.QUEUED, submitted_by="mallory", displacements=1)
    everything = [of_mallory, *of_others, displaced]
    assert sorted(w.id for w in worker.claim(everything, slowed=slowed)) == sorted(of_others)
    refused = claim.refusals(conn, everything, types={NAME: 1}, slowed=slowed)
    assert {r.id: r.reason for r in refused} == {of_mallory: "slowed", displaced: "apart"}
    assert worker.claim([displaced], apart=True, slowed=slowed)


def test_a_slowed_task_is_put_off_for_so_long_and_says_why(conn: Connection) -> None:
    task_id = put(conn, State.QUEUED)
    put_off(conn, [task_id], reason="slowed", seconds=40.0)
    query = "SELECT state, extract(epoch FROM due_at - now()) AS wait FROM task WHERE id = :id"
    row = conn.execute(sa.text(query), {"id": task_id}).one()
    assert (row.state, round(row.wait)) == ("scheduled", 40)
    query = "SELECT kind, data FROM task_event WHERE task_id = :id"
    event = conn.execute(sa.text(query), {"id": task_id}).one()
    assert (event.kind, event.data["reason"]) == ("put_off", "slowed")
