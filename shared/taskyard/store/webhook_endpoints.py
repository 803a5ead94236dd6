"""Webhook endpoints: addresses that a key registered, with the secrets that sign what is sent there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from .tables.webhooks import webhook_endpoint as table

_GRACE_IS_OVER = sa.or_(table.c.previous_until.is_(None), table.c.previous_until <= sa.func.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    """`secret` is sealed, and so is `previous_secret`, which signs as well until `previous_until`. Since `disabled_at`
    nothing is sent there."""

    id: UUID
    url: str
    description: str
    submitted_by: str
    secret: dict[str, str]
    previous_secret: dict[str, str] | None = None
    previous_until: datetime | None = None
    disabled_at: datetime | None = None
    created_at: datetime | None = None


# Without the previous secret once its time is over.
_COLUMNS = [
    sa.case((_GRACE_IS_OVER, None), else_=c).label(c.name) if c.name.startswith("previous_") else c for c in table.c
]

# For each `owner` below: the key whose endpoints are meant; None: all of them (`tree_items.owner_seen`).


def insert(conn: Connection, new: WebhookEndpoint) -> WebhookEndpoint:
    values = {
        "id": new.id,
        "url": new.url,
        "description": new.description,
        "submitted_by": new.submitted_by,
        "secret": new.secret,
    }
    return _endpoint(conn.execute(sa.insert(table).values(values).returning(*_COLUMNS)).one())


def get(conn: Connection, endpoint_id: UUID, *, owner: str | None = None) -> WebhookEndpoint | None:
    return _first(conn, sa.select(*_COLUMNS).where(table.c.id == endpoint_id, _belongs_to(owner)))


def page(
    conn: Connection, *, limit: int, before: UUID | None = None, owner: str | None = None
) -> list[WebhookEndpoint]:
    """Up to `limit` endpoints, newest first, with ids below `before`."""
    statement = sa.select(*_COLUMNS).where(_belongs_to(owner)).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(table.c.id < before)
    return [_endpoint(row) for row in conn.execute(statement)]


def of_origins(conn: Connection, origins: Collection[str], *, owner: str | None = None) -> list[tuple[UUID, str]]:
    """The ids and addresses of the endpoints on these origins."""
    on_one = sa.or_(*(table.c.url.startswith(f"{origin}/", autoescape=True) for origin in origins))
    return [tuple(row) for row in conn.execute(sa.select(table.c.id, table.c.url).where(on_one, _belongs_to(owner)))]


def delete(conn: Connection, endpoint_id: UUID, *, owner: str | None = None) -> WebhookEndpoint | None:
    """What was removed, None where there is none."""
    chosen = sa.delete(table).where(table.c.id == endpoint_id, _belongs_to(owner))
    return _first(conn, chosen.returning(*_COLUMNS))


def rotate(
    conn: Connection, endpoint_id: UUID, secret: dict[str, str], *, grace: timedelta, owner: str | None = None
) -> WebhookEndpoint | None:
    """Another secret; the one before signs as well for the grace time."""
    values = {"secret": secret, "previous_secret": table.c.secret, "previous_until": sa.func.now() + grace}
    return _changed(conn, endpoint_id, owner, **values)


def enable(conn: Connection, endpoint_id: UUID, *, owner: str | None = None) -> WebhookEndpoint | None:
    return _changed(conn, endpoint_id, owner, disabled_at=None)


def disable(conn: Connection, endpoint_id: UUID) -> WebhookEndpoint | None:
    """None where there is none, or it is disabled already."""
    chosen = sa.update(table).where(table.c.id == endpoint_id, table.c.disabled_at.is_(None))
    return _first(conn, chosen.values(disabled_at=sa.func.now()).returning(*_COLUMNS))


def _changed(conn: Connection, endpoint_id: UUID, owner: str | None, **values: Any) -> WebhookEndpoint | None:
    chosen = sa.update(table).where(table.c.id == endpoint_id, _belongs_to(owner))
    return _first(conn, chosen.values(values).returning(*_COLUMNS))


def _first(conn: Connection, statement: sa.Executable) -> WebhookEndpoint | None:
    row = conn.execute(statement).first()
    return None if row is None else _endpoint(row)


def _belongs_to(owner: str | None) -> sa.ColumnElement[bool]:
    return sa.true() if owner is None else table.c.submitted_by == owner


def _endpoint(row: Any) -> WebhookEndpoint:
    return WebhookEndpoint(**row._mapping)
