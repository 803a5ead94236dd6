# ruff: noqa: S608 - the statement is put together from constants of this file
"""The delivery that enters when a task with a callback ends: a task like any other, which waits, is tried again, and is
a dead letter in the end. It has no callback of its own.

What is told is taken from the row in the same statement, so every attempt sends the same bytes.
"""

from __future__ import annotations

from ..domain.callbacks import DELIVER, FINAL, HARD_LIMIT, LIFE, MAX_ATTEMPTS, QUEUE, SOFT_LIMIT
from ..domain.tasks import Event
from .composer import Verb, along

# Columns of the task that ended.
READ = (
    *("callback", "result", "error", "partial", "created_at", "started_at", "finished_at"),
    *("request_id", "traceparent", "submitted_by", "allowed_queues"),
)
WANTS_FINAL = f"(m.callback -> 'on' ? '{FINAL}')"

# A UUIDv7 (RFC 9562), which PostgreSQL makes from its release 18 on: 48 bits of milliseconds over a random UUID, whose
# version 4 becomes 7.
NEW_ID = """encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
    substring(int8send(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS int8)) FROM 3) FROM 1 FOR 6), 52, 1),
    53, 1), 'hex')::uuid"""

# To keys with the scope `read` only, as the API shows it.
_STORED = """jsonb_build_object('result', {result}, 'partial', {partial}, 'error', CASE WHEN {error} IS NOT NULL THEN
    jsonb_strip_nulls(jsonb_build_object('message', {error} -> 'message', 'code', {error} -> 'code',
    'support_url', {callback} -> 'support_url')) END)"""
_PAYLOAD = f"""jsonb_build_object('type', 'task.' || m.state, 'timestamp', now(), 'data', jsonb_build_object(
    'id', m.id, 'name', m.name, 'queue', m.queue, 'state', m.state, 'attempt', m.attempt,
    'workflow_id', m.workflow_id, 'created_at', {{created_at}}, 'started_at', {{started_at}},
    'finished_at', {{finished_at}}) || CASE WHEN {{callback}} -> 'told' = 'true' THEN {_STORED} ELSE '{{}}' END)"""


def delivery(name: str, source: str) -> Verb:
    """The verb that makes a delivery of each row of `source`: `id`, `due`, `params`, and what it inherits."""
    inherited = ("request_id", "traceparent", "submitted_by", "allowed_queues")
    return Verb(
        name=name,
        edges=along(Event.POSTPONE),
        source=source,
        sets={
            **{column: f"l.{column}" for column in ("id", "params", *inherited)},
            "name": f"'{DELIVER}'",
            "queue": f"'{QUEUE}'",
            "max_attempts": f"{MAX_ATTEMPTS}",
            "soft_timeout_seconds": f"{SOFT_LIMIT.total_seconds()}",
            "hard_timeout_seconds": f"{HARD_LIMIT.total_seconds()}",
            "expires_at": f"now() + interval '{LIFE.days} days'",
            "run_at": "l.due",
            "due_at": "NULL",
        },
    )


DELIVERY = delivery(
    "callback_task",
    f"""(
        SELECT {NEW_ID} AS id, now() AS due, jsonb_build_object('endpoint_id', {{callback}} -> 'endpoint_id',
            'url', {{callback}} -> 'url', 'payload', {_PAYLOAD}) AS params, {{request_id}} AS request_id,
            {{traceparent}} AS traceparent, {{submitted_by}} AS submitted_by, {{allowed_queues}} AS allowed_queues
        FROM moved m WHERE {{here}} AND {WANTS_FINAL}
    )""",
)
