"""Versions of a type in the ledger: who claims what, who is refused, and what is taken up again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.catalogue.types import MAX_VERSION
from taskyard.domain.tasks import State
from taskyard.lifecycle import claim, submit
from taskyard.lifecycle.put_off import put_off, take_up
from taskyard.lifecycle.replay import replay_dead_letters
from taskyard.lifecycle.retry import retry_task
from taskyard.store import task_types
from taskyard.store.audit import Actor
from taskyard.store.dead_letters import Wanted

from .rows import NAME, QUEUE, Worker, events, new, put, read, register, state_of

LEASE = timedelta(seconds=30)


def versions(conn: Connection, *given: int) -> list[UUID]:
    return [put(conn, State.QUEUED, version=version) for version in given]


def reasons(conn: Connection, ids: list[UUID], types: dict[str, int]) -> list[str]:
    told = {r.id: r.reason for r in claim.refusals(conn, ids, types=types, lease=LEASE)}
    return [told[i] for i in ids]


def test_a_worker_claims_its_own_version_and_lower_ones_and_never_a_higher_one(
    conn: Connection, worker: Worker
) -> None:
    ids = versions(conn, 1, 2, 3, MAX_VERSION)
    assert [w.id for w in worker.claim(ids, types={"other.type": MAX_VERSION, NAME: 2})] == ids[:2]
    higher = read(conn, ids[2])
    assert (higher.state, higher.attempt, higher.failures, higher.put_offs) == ("queued", 0, 0, 0)
    assert [w.version for w in worker.claim(ids, types={NAME: MAX_VERSION})] == [3, MAX_VERSION]


def test_a_suspect_of_a_higher_version_is_left_to_a_worker_that_has_it(conn: Connection) -> None:
    suspect = put(conn, State.QUEUED, version=2, suspicions=1)
    assert claim.set_apart(conn, [QUEUE], types={NAME: 1}) == {}
    assert claim.set_apart(conn, [QUEUE], types={NAME: 2}) == {suspect: None}


@pytest.mark.parametrize(
    "change",
    ["", "state = 'draining'", "lost_at = now()", "stopped_at = now()", "beat_at = now() - interval '1 minute'",
     "queues = '{other}'"],
)  # fmt: skip
def test_what_a_live_worker_on_the_queue_runs_is_refused_as_elsewhere(
    conn: Connection, worker: Worker, change: str
) -> None:
    task_types.write_worker(conn, register(conn), {NAME: 2})
    if change:
        conn.execute(sa.text(f"UPDATE worker SET {change} WHERE id <> :id"), {"id": worker.id})
    elsewhere = "unknown" if change else "elsewhere"
    assert reasons(conn, versions(conn, 1, 2, 3), {NAME: 1}) == ["open", elsewhere, "unknown"]
    assert reasons(conn, versions(conn, 1), {}) == [elsewhere], "a type that only the other one has"


def test_what_was_put_off_is_taken_up_at_once_by_a_worker_that_can_run_it(conn: Connection) -> None:
    lower, higher = versions(conn, 2, 3)
    other = put(conn, State.QUEUED, name="other.type")
    elsewhere = put(conn, State.QUEUED, version=2, queue="low")
    for _ in range(8):  # the longest wait
        put_off(conn, [lower, higher, other, elsewhere], reason="unknown_task_type")
        conn.execute(sa.text("UPDATE task SET state = 'queued', due_at = NULL WHERE state = 'scheduled'"))
    put_off(conn, [lower, higher, other, elsewhere], reason="unknown_task_type")
    later = put(conn, State.SCHEDULED, due=timedelta(seconds=1))
    back_off = put(conn, State.RETRYING, due=timedelta(seconds=1), put_offs=1)
    before = read(conn, lower).publication
    done = take_up(conn, [QUEUE], types={NAME: 2})
    assert (done.answer, [p.task_id for p in done.publications]) == (1, [lower])
    row = read(conn, lower)
    assert (row.state, row.due_at, row.publication) == ("queued", None, before + 1)
    left = [state_of(conn, i) for i in (higher, other, elsewhere, later, back_off)]
    assert left == [*["scheduled"] * 4, "retrying"], "nor is what a person or a back-off made wait"
    assert take_up(conn, [QUEUE], types={NAME: 2}).answer == 0


def test_many_are_taken_up_in_parts(conn: Connection) -> None:
    ids = versions(conn, *[2] * 5)
    put_off(conn, ids, reason="unknown_task_type")
    taken = [take_up(conn, [QUEUE], types={NAME: 2}, limit=2).answer for _ in range(4)]
    assert taken == [2, 2, 1, 0]


def test_the_largest_version_is_stored_and_claimed(conn: Connection, worker: Worker) -> None:
    asked = new(version=MAX_VERSION)
    submit.submit(conn, [asked])
    assert read(conn, asked.id).version == MAX_VERSION
    (won,) = worker.claim([asked.id], types={NAME: MAX_VERSION})
    assert won.version == MAX_VERSION


def test_a_retry_keeps_version_parameters_and_rights_as_they_were_admitted(conn: Connection) -> None:
    given: dict[str, Any] = {
        "version": 3,
        "params": {"token": {"$secret": "x"}, "filled_in": 1},
        "allowed_queues": [QUEUE],
    }
    failed = put(conn, State.FAILED, **given)
    assert retry_task(conn, failed, by=Actor("ops"), life=timedelta(days=1)).answer
    row = read(conn, failed)
    assert (row.state, {name: getattr(row, name) for name in given}) == (State.QUEUED, given)
    assert reasons(conn, [failed], {NAME: 2}) == ["unknown"], "nor does an older worker run it for that"


def test_a_replay_keeps_the_version(conn: Connection) -> None:
    register(conn)
    params = {"token": {"$secret": "x"}, "filled_in": 1}
    failed = put(conn, State.FAILED, version=3, params=params)
    replay_dead_letters(conn, Wanted(ids=[failed]), by=Actor("ops"), life=timedelta(days=1), per_second=50)
    assert (state_of(conn, failed), read(conn, failed).version) == (State.SCHEDULED, 3)
    assert read(conn, failed).params == params, "as they were admitted"
    assert events(conn, failed) == ["retried"]
    assert take_up(conn, [QUEUE], types={NAME: 3}).answer == 0, "its turn has not come"
