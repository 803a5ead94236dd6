"""Webhook endpoints as tasks have them: `context.webhooks`. Their secrets stay in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..catalogue.secrets import Cipher
from ..domain.errors import TaskError
from ..outbound.signing import signed_headers
from ..store import audit, webhook_endpoints
from ..store.audit import Action, Actor

T = TypeVar("T")

# Runs a verb in a transaction.
Run = Callable[[Callable[[Connection], Any]], Any]

_NEWEST = sa.text("""
SELECT t.id, t.name, t.queue, t.state, t.attempt, t.workflow_id, t.created_at, t.started_at,
    t.callback -> 'told' AS told, p.current, p.total, p.message, p.updated_at
FROM task t JOIN task_progress p ON p.task_id = t.id AND p.attempt = t.attempt
WHERE t.id = :id AND t.state = 'running'
""")
_SHORT = ("id", "name", "queue", "state", "attempt", "workflow_id", "created_at", "started_at")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint to send to."""

    url: str
    _secrets: tuple[str, ...] = field(repr=False)

    def headers(self, message_id: UUID, body: bytes, *, now: Callable[[], datetime] = _now) -> dict[str, str]:
        """What signs the body, as it is sent now."""
        return signed_headers(str(message_id), now(), body, self._secrets)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Nothing is sent to an endpoint that is `deleted` or `disabled`."""

    reason: str


class Webhooks:
    """`run` runs a verb in a transaction. The methods wait for PostgreSQL, so coroutines call them in a thread. They
    raise LedgerUnavailable where it does not answer."""

    def __init__(self, run: Run, cipher: Cipher) -> None:
        self._run = run
        self._cipher = cipher

    def target(self, endpoint_id: UUID, *, owner: str | None = None) -> Target | Unusable:
        """`owner`: only where the endpoint belongs to this key. Raises SecretsUnreadable."""
        found = self._run(lambda conn: webhook_endpoints.get(conn, endpoint_id, owner=owner))
        if found is None:
            return Unusable("deleted")
        if found.disabled_at is not None:
            return Unusable("disabled")
        sealed = [found.secret, *([] if found.previous_secret is None else [found.previous_secret])]
        return Target(found.url, tuple(map(self._cipher.open, sealed)))

    def disable(self, endpoint_id: UUID, *, by: str) -> None:
        """`by`: what the audit log names."""

        def change(conn: Connection) -> None:
            found = webhook_endpoints.disable(conn, endpoint_id)
            if found is not None:
                audit.record(conn, Actor(by), Action.WEBHOOK_ENDPOINT_DISABLE, endpoint_id, url=found.url)

        self._run(change)

    def progress(self, task_id: UUID) -> dict[str, Any] | None:
        """What is told of a running task, with its newest progress; None where there is nothing to tell any more."""
        row = self._run(lambda conn: conn.execute(_NEWEST, {"id": task_id}).first())
        if row is None:
            return None
        data = {name: getattr(row, name) for name in _SHORT}
        if row.told:
            data["progress"] = {name: getattr(row, name) for name in ("current", "total", "message")}
        at: datetime = row.updated_at
        return {"type": "task.progress", "timestamp": at, "data": data}


@dataclass(frozen=True, slots=True)
class NoWebhooks:
    """In place of endpoints, where there is no ledger."""

    def _none(self, *_: Any, **__: Any) -> Any:
        raise TaskError("no_database", "This task needs PostgreSQL, and this run has none.", retryable=False)

    target = disable = progress = _none


NO_WEBHOOKS = NoWebhooks()
