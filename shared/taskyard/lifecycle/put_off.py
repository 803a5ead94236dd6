"""put_off: queued -> scheduled, for tasks whose type no worker here knows.

They would spin between Redis and the ledger while a rolling update is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from ..backoff import backoff_sql
from ..domain.tasks import Event
from . import committed
from .committed import Committed
from .composer import Verb, along
from .consequences import compose

_UNTIL = """to_char(due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

_PUT_OFF = compose(
    Verb(
        name="put_off",
        edges=along(Event.PUT_OFF),
        where="t.id = ANY(:ids)",
        locks={"due": f"now() + {backoff_sql('t.put_offs', first=5, longest=300)}"},
        derives={"note": f"jsonb_build_object('reason', CAST(:reason AS text), 'until', {_UNTIL})"},
        sets={"put_offs": "t.put_offs + 1", "queued_at": "NULL"},
    )
)


def put_off(conn: Connection, ids: Sequence[UUID], *, reason: str) -> Committed[None]:
    """Queued tasks become due after a back-off of 5 to 300 s."""
    return committed.of_rows(conn.execute(_PUT_OFF, {"ids": list(ids), "reason": reason}).all(), None)
