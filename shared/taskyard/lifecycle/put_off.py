"""put_off: queued -> scheduled, for tasks whose type no worker here knows: during a rolling update they would spin."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from ..backoff import backoff_sql
from ..domain.tasks import Event
from .committed import Committed
from .composer import Verb, along
from .consequences import compose

_UNTIL = """to_char(d.due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

_PUT_OFF = compose(
    Verb(
        name="put_off",
        edges=along(Event.PUT_OFF),
        source=f"""task t
    CROSS JOIN LATERAL (SELECT now() + {backoff_sql("t.put_offs", first=5, longest=300)} AS due) d""",
        where="t.id = ANY(:ids)",
        locks={"due": "d.due", "note": f"jsonb_build_object('reason', CAST(:reason AS text), 'until', {_UNTIL})"},
        sets={"put_offs": "t.put_offs + 1", "queued_at": "NULL"},
    )
)


def put_off(conn: Connection, ids: Sequence[UUID], *, reason: str) -> Committed[None]:
    """Queued tasks become due after a back-off of 5 to 300 s."""
    return Committed.of_rows(conn.execute(_PUT_OFF, {"ids": list(ids), "reason": reason}).all(), None)
