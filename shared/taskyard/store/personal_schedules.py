# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""Schedules about a person are deleted, and in others their address is replaced: they would submit it again."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from . import audit
from .audit import Action, Actor
from .persons import KEPT, NAMED_IN_SCHEDULE, NOBODY, Person

_DELETE = sa.text(f"""
WITH locked AS (SELECT s.id FROM schedule s WHERE {NAMED_IN_SCHEDULE} ORDER BY s.id FOR UPDATE)
DELETE FROM schedule s USING locked WHERE s.id = locked.id RETURNING s.id, s.source
""")
# A new version: whoever has read the one before cannot write the address back.
_REPLACE = sa.text("""
WITH locked AS (
    SELECT s.id, regexp_replace(s.task::text, :pattern, :nobody, 'gi') AS task FROM schedule s
    WHERE s.task::text ~* :pattern ORDER BY s.id FOR UPDATE
)
UPDATE schedule s SET task = CAST(l.task AS jsonb), task_bytes = octet_length(l.task), version = s.version + 1,
    changed_at = now()
FROM locked l WHERE s.id = l.id RETURNING s.id, s.source
""")


def erase(conn: Connection, of: Person, *, by: Actor) -> list[str]:
    """Answers which files declared some of them: applied again, those bring them back. Call it in a transaction. The
    audit log records it, without the names of the schedules: it cannot be erased."""
    values = {**of.values(), "nobody": KEPT + NOBODY}
    deleted = conn.execute(_DELETE, values).all()
    replaced = [] if of.email is None else conn.execute(_REPLACE, values).all()
    for action, rows in ((Action.SCHEDULE_DELETE, deleted), (Action.SCHEDULE_CHANGE, replaced)):
        for row in rows:
            audit.record(conn, by, action, row.id, source=row.source)
    sources = {row.source for row in (*deleted, *replaced) if row.source is not None}
    return sorted(source.removeprefix("file:") for source in sources if source.startswith("file:"))
