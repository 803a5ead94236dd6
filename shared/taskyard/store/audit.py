"""The audit log: who changed what, when, and from where.

A row is written in the transaction of its change, so neither exists without the other. Calls that were refused, or
changed nothing, leave no row. PostgreSQL refuses to change or delete rows (see tables).
"""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.ids import earliest_id_at, new_id
from .reads import CLOCK_SKEW
from .tables.access import audit

# In place of what may be personal: rows are never deleted.
HIDDEN = "***"


class Action(StrEnum):
    """The kinds of changes; the part before the dot is the type of the target."""

    TASK_CANCEL = "task.cancel"
    TASK_RETRY = "task.retry"
    TASK_CHANGE = "task.change"
    TASKS_CANCEL = "tasks.cancel"
    QUEUE_PAUSE = "queue.pause"
    QUEUE_RESUME = "queue.resume"
    QUEUE_LIMIT = "queue.limit"
    QUEUE_PURGE = "queue.purge"
    TREE_ITEM_DELETE = "tree_item.delete"
    USER_CREATE = "user.create"
    USER_CHANGE = "user.change"
    USER_ERASE = "user.erase"
    TASKS_RETRY = "tasks.retry"
    DEAD_LETTERS_RETRY = "dead_letters.retry"
    DEAD_LETTERS_DISCARD = "dead_letters.discard"
    DEAD_LETTERS_RESTORE = "dead_letters.restore"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    WEBHOOK_ENDPOINT_CREATE = "webhook_endpoint.create"
    WEBHOOK_ENDPOINT_DELETE = "webhook_endpoint.delete"
    WEBHOOK_ENDPOINT_ROTATE = "webhook_endpoint.rotate"
    WEBHOOK_ENDPOINT_ENABLE = "webhook_endpoint.enable"
    WEBHOOK_ENDPOINT_DISABLE = "webhook_endpoint.disable"
    TASK_TYPE_CHANGED = "task_type.changed"
    TASK_TYPE_FORGET = "task_type.forget"
    SCHEDULE_CREATE = "schedule.create"
    SCHEDULE_CHANGE = "schedule.change"
    SCHEDULE_DELETE = "schedule.delete"
    SCHEDULE_PAUSE = "schedule.pause"
    SCHEDULE_RESUME = "schedule.resume"
    SCHEDULE_TRIGGER = "schedule.trigger"
    OPERATION_START = "operation.start"
    ROLE_GRANT = "role.grant"
    ROLE_REVOKE = "role.revoke"
    WORKFLOW_CANCEL = "workflow.cancel"
    WORKFLOW_RETRY = "workflow.retry"
    WORKER_DRAIN = "worker.drain"
    WORKER_RESTART = "worker.restart"
    WORKER_RESIZE = "worker.pool"
    ERROR_SOLVE = "error.solve"
    ERROR_REOPEN = "error.reopen"


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: an API key by its name, or an account that ran a command. `on_behalf_of`: the person for
    whom the key was used, as its holder says. `operation`: the task that makes the change for the author."""

    name: str
    api_key_id: UUID | None = None
    address: str | None = None
    request_id: str | None = None
    on_behalf_of: str | None = None
    operation: UUID | None = None


def actor_here() -> Actor:
    """The account of this process, as `cli:<account>@<host>`; not from the environment, which may be forged."""
    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's numeric user
        account = str(os.getuid())
    return Actor(f"cli:{account}@{socket.gethostname()}")


_RECORD = sa.text("""
INSERT INTO audit (id, actor, api_key_id, action, target_type, target_id, details, address, request_id, on_behalf_of)
VALUES (:id, :actor, :api_key_id, :action, :target_type, :target_id, CAST(:details AS jsonb), :address, :request_id,
    :on_behalf_of)
""")


def record(conn: Connection, by: Actor, action: Action, target: object = None, **details: Any) -> None:
    """Call it in the transaction of the change. `target`: the id of the changed object; None where there are many: then
    that of the operation, where one changes them."""
    target = by.operation if target is None else target
    values = {
        "id": new_id(),
        "actor": by.name,
        "api_key_id": by.api_key_id,
        "action": str(action),
        "target_type": action.partition(".")[0],
        "target_id": None if target is None else str(target),
        "details": orjson.dumps(details, option=orjson.OPT_UTC_Z).decode(),
        "address": by.address,
        "request_id": by.request_id,
        "on_behalf_of": by.on_behalf_of,
    }
    conn.execute(_RECORD, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """All conditions have to hold; `target` is the id of the changed object."""

    action: Action | None = None
    actor: str | None = None
    target: str | None = None
    after: datetime | None = None
    before: datetime | None = None


def page(conn: Connection, wanted: AuditFilter, *, before_id: UUID | None = None, limit: int = 50) -> list[RowMapping]:
    """Up to `limit` rows, newest first, with ids below `before_id`. Each filter has an index that ends with the id."""
    found = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    given = {audit.c.action: wanted.action, audit.c.actor: wanted.actor, audit.c.target_id: wanted.target}
    found = found.where(*(column == value for column, value in given.items() if value is not None))
    if wanted.after is not None:
        found = found.where(audit.c.at >= wanted.after, audit.c.id >= earliest_id_at(wanted.after - CLOCK_SKEW))
    if wanted.before is not None:
        found = found.where(audit.c.at < wanted.before, audit.c.id < earliest_id_at(wanted.before + CLOCK_SKEW))
    if before_id is not None:
        found = found.where(audit.c.id < before_id)
    return list(conn.execute(found).mappings())
