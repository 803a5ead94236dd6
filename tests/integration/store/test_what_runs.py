"""What runs is found by its name, too, though the index of names has none of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import LIVE, State
from taskyard.store import ledger, live_tasks, reads, task_types
from taskyard.store.live_tasks import Wanted
from taskyard.store.selection_runs import Kind, Reader, Status, runs_page
from tests.integration.lifecycle.rows import put, register

NAME, OTHER = Kind.RUN_SELECT.task_type, "email.send"
LEASE = timedelta(seconds=30)


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    with ledger.connection(engine) as connection:
        yield connection


@pytest.fixture
def ids(conn: Connection) -> dict[State, UUID]:
    """A task of the type in each state, beside one of another type, in a queue that no worker serves."""
    worker_id = register(conn)
    for state in State:
        put(conn, state, name=OTHER, queue="rare", worker_id=worker_id)
    return {state: put(conn, state, name=NAME, queue="rare", worker_id=worker_id) for state in State}


def test_a_list_of_a_name_has_what_runs(conn: Connection, ids: dict[State, UUID]) -> None:
    def listed(**wanted: object) -> list[UUID]:
        return [row["id"] for row in reads.tasks_page(conn, reads.TaskFilter(name=NAME, **wanted))]  # type: ignore[arg-type]

    newest_first = sorted(ids.values(), reverse=True)
    assert listed() == listed(queue="rare") == listed(queues=["rare"]) == newest_first
    assert listed(queue="default") == []
    for state in State:
        assert listed(states=[state]) == [ids[state]]
    assert listed(states=[State.RUNNING, State.FAILED]) == sorted((ids[State.RUNNING], ids[State.FAILED]), reverse=True)


def test_a_choice_of_live_tasks_of_a_name_has_what_runs(conn: Connection, ids: dict[State, UUID]) -> None:
    live = sorted(ids[state] for state in LIVE)
    for wanted in (Wanted(name=NAME), Wanted(name=NAME, queue="rare"), Wanted(name=NAME, queues=["rare"])):
        assert live_tasks.choose(conn, wanted, limit=50) == live
        assert live_tasks.choose(conn, wanted, limit=2) == live[:2]
        assert live_tasks.count(conn, wanted) == len(live)
        assert [row["id"] for row in live_tasks.sample(conn, wanted, limit=50)] == live
    assert live_tasks.choose(conn, Wanted(name=NAME, states=[State.RUNNING]), limit=9) == [ids[State.RUNNING]]
    assert live_tasks.count(conn, Wanted(name=NAME, states=[State.QUEUED])) == 1
    assert live_tasks.count(conn, Wanted(name=NAME, queue="default")) == 0


def test_a_type_that_is_forgotten_counts_what_runs(conn: Connection, ids: dict[State, UUID]) -> None:
    assert task_types.waiting_tasks(conn, NAME) == task_types.waiting_tasks(conn, NAME, 1) == len(LIVE)
    assert task_types.waiting_tasks(conn, NAME, 2) == 0
    conn.execute(sa.text("DELETE FROM task WHERE state <> 'running'"))
    assert task_types.waiting_tasks(conn, NAME) == 1


def test_a_list_of_selection_runs_has_what_runs(conn: Connection, ids: dict[State, UUID]) -> None:
    def listed(status: Status | None = None) -> set[UUID]:
        return {row["id"] for row in runs_page(conn, Reader(lease=LEASE), status=status)}

    assert listed() == set(ids.values())
    assert listed(Status.RUNNING) == {ids[State.RUNNING]}
    conn.execute(sa.text("UPDATE worker SET lost_at = now()"))
    assert not listed(Status.RUNNING)
    assert ids[State.RUNNING] in listed(Status.PENDING)
