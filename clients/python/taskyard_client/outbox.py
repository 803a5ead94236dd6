"""An outbox in a database of the application's own, where that is not the platform's.

    with session.begin():
        session.add(order)
        enqueue_in(session, "email.send_welcome", {"user_id": 7})

The row commits with the application's own ones, or not at all; `taskyard-client relay` submits it over HTTP, at least
once: the id of the row is that of the task and its idempotency key, so that a repeat makes no second task. Needs
`taskyard-client[transactions]`; the table is PostgreSQL's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .options import Params, TaskOptions
from .tracing import passed_on
from .transaction import refused, run_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

CHANNEL = "taskyard_outbox"

TABLE = """
CREATE TABLE IF NOT EXISTS taskyard_outbox (
    id uuid PRIMARY KEY,
    task json NOT NULL,
    passed_on json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused_at timestamptz,
    refusal json
);
CREATE INDEX IF NOT EXISTS taskyard_outbox_waiting ON taskyard_outbox (created_at) WHERE refused_at IS NULL;
"""
"""For a migration of the application's."""

_INSERT = """
WITH added AS (
    INSERT INTO taskyard_outbox (id, task, passed_on)
    VALUES (CAST(%(id)s AS uuid), CAST(%(task)s AS json), CAST(%(passed_on)s AS json)) RETURNING id
)
SELECT id, pg_notify('taskyard_outbox', '') FROM added
"""


def enqueue_in(connection: Any, name: str, params: Params | None = None, **options: Unpack[TaskOptions]) -> UUID:
    """Writes a submit into the outbox, in the transaction of a connection as `submit_in` takes them; returns the id
    that the task will have.

    Fields, sizes and depth are checked as the API checks them, before anything is written; what only the platform knows
    (the type, its parameters, queues) is refused when the row is relayed, and then stands in its `refusal`.
    Raises Invalid and NotInTransaction.
    """
    run = run_of(connection)
    try:
        task_id, task = _admission().checked_alone(name, params, options)
    except Exception as e:
        told = refused(e)
        if told is None:
            raise
        raise told from None
    values: Mapping[str, Any] = {"id": str(task_id), "task": task, "passed_on": json.dumps(passed_on())}
    run(_INSERT, values)
    return UUID(str(task_id))


@cache
def _admission() -> Any:
    try:
        return import_module("taskyard.admission.in_transaction")
    except ImportError as e:
        raise ImportError("enqueue_in needs taskyard-client[transactions] (Python 3.11 or newer)") from e
