"""Rows to try verbs on: a task in any state, a worker, and what the ledger says of them afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from taskyard.domain.tasks import FINAL, Fault, State
from taskyard.lifecycle import claim, submit, workers
from taskyard.store.tables.tasks import task, unique_key
from tests.support.ledger import new_task, task_values, worker_info

NAME = "email.send"
QUEUE = "default"
FAULT = Fault("smtp_refused", "The mail server refused.", "SMTPError", True, traceback="Traceback ...")
_GIVEN: dict[str, Any] = {"name": NAME, "params": {"to": "a@b.example"}}
PAST, FUTURE = timedelta(minutes=-5), timedelta(minutes=5)


def new(**changes: Any) -> submit.NewTask:
    return new_task(**{**_GIVEN, **changes})


def register(conn: Connection, *, queues: Sequence[str] = (QUEUE,)) -> UUID:
    """A worker that lives, and rows for its queues."""
    workers.ensure_queues(conn, queues)
    info = worker_info(queues=queues, task_types=[NAME])
    workers.register(conn, info)
    return info.id


def put(
    conn: Connection, state: State, *, worker_id: UUID | None = None, due: timedelta = FUTURE, **columns: Any
) -> UUID:
    """A row in that state, as the verbs would have left it; `due` counts for scheduled and retrying."""
    row = {**task_values(**_GIVEN), "state": state, "run_at": sa.func.now()}
    match state:
        case State.SCHEDULED | State.RETRYING:
            row |= {"due_at": sa.func.now() + due, "run_at": sa.func.now() + due}
        case State.QUEUED:
            row |= {"queued_at": sa.func.now(), "publication": 1}
        case State.RUNNING:
            row |= {"claim": uuid4(), "worker_id": worker_id, "worker": "w:1", "publication": 1}
            row |= {"queued_at": sa.func.now(), "started_at": sa.func.now()}
    if state in {State.RUNNING, State.RETRYING, State.SUCCEEDED, State.FAILED}:
        row["attempt"] = 1
    if state in FINAL:
        row["finished_at"] = sa.func.now()
    if state in {State.RETRYING, State.FAILED}:
        row |= {"failures": 1, "error": {"code": "smtp_refused", "attempt": 1}}
    row |= columns
    conn.execute(sa.insert(task).values(**row))
    return UUID(str(row["id"]))


def claim_of(conn: Connection, task_id: UUID) -> UUID:
    """The claim that holds the task, or one that nobody has."""
    found = read(conn, task_id).claim
    return UUID(str(found)) if found else uuid4()


def read(conn: Connection, task_id: UUID) -> Row[Any]:
    return conn.execute(sa.select(task).where(task.c.id == task_id)).one()


def state_of(conn: Connection, task_id: UUID) -> State:
    return State(read(conn, task_id).state)


@dataclass
class Worker:
    """A worker with one child, that claims and knows its claim ids."""

    conn: Connection
    id: UUID

    def claim(
        self,
        ids: Sequence[UUID],
        claim_id: UUID | None = None,
        *,
        types: Mapping[str, int] | None = None,
        apart: bool = False,
        slowed: Sequence[str] = (),
    ) -> list[claim.Claimed]:
        return claim.claim(
            self.conn,
            ids,
            claim=claim_id or uuid4(),
            worker_id=self.id,
            worker="w:1",
            types={NAME: 1} if types is None else types,
            apart=apart,
            slowed=slowed,
        ).answer


def outbox(conn: Connection) -> dict[int, set[UUID]]:
    """Outbox id -> the tasks it covers."""
    return {r.id: set(r.task_ids) for r in conn.execute(sa.text("SELECT id, task_ids FROM outbox"))}


def attempts(conn: Connection, task_id: UUID) -> list[Row[Any]]:
    statement = sa.text("SELECT * FROM task_attempt WHERE task_id = :id ORDER BY id")
    return list(conn.execute(statement, {"id": task_id}))


def events(conn: Connection, task_id: UUID) -> list[str]:
    statement = sa.text("SELECT kind FROM task_event WHERE task_id = :id ORDER BY id")
    return list(conn.execute(statement, {"id": task_id}).scalars())


def hold_key(conn: Connection, task_id: UUID, hold: str, key: str = "k") -> None:
    """Gives the task a unique key, as a keyed submit does."""
    conn.execute(sa.update(task).where(task.c.id == task_id).values(unique_hold=hold))
    conn.execute(sa.insert(unique_key).values(name=NAME, key=key, task_id=task_id, hold=hold))


def key_holders(conn: Connection) -> dict[str, UUID]:
    return {r.key: r.task_id for r in conn.execute(sa.text("SELECT key, task_id FROM unique_key"))}
