"""put_off: queued -> scheduled, for tasks whose type no live worker runs in that version, and for those that the worker
leaves for now: they would spin in Redis.
take_up: scheduled -> queued, for those of them that a worker which has just registered can run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from ..backoff import backoff_sql
from ..domain.tasks import Event, State
from .claim import RUNS, known
from .committed import Committed
from .composer import Verb, along
from .consequences import compose

_UNTIL = """to_char(d.due AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

_LONGEST_SECONDS = 300

_PUT_OFF = compose(
    Verb(
        name="put_off",
        edges=along(Event.PUT_OFF),
        source=f"""task t
    CROSS JOIN LATERAL (SELECT now() + coalesce(
        CAST(:seconds AS float8) * interval '1 second', {backoff_sql("t.put_offs", first=5, longest=_LONGEST_SECONDS)}
    ) AS due) d""",
        where="t.id = ANY(:ids)",
        locks={"due": "d.due", "note": f"jsonb_build_object('reason', CAST(:reason AS text), 'until', {_UNTIL})"},
        sets={"put_offs": "t.put_offs + 1", "queued_at": "NULL"},
    )
)


def put_off(conn: Connection, ids: Sequence[UUID], *, reason: str, seconds: float | None = None) -> Committed[None]:
    """Queued tasks become due after so many seconds, or after a back-off of 5 to 300 s."""
    values = {"ids": list(ids), "reason": reason, "seconds": seconds}
    return Committed.of_rows(conn.execute(_PUT_OFF, values).all(), None)


# No other scheduled task counts put-offs: a task for later has none yet, and a replay begins without. The due time
# confines it to the beginning of an index.
_TAKE_UP = compose(
    Verb(
        name="take_up",
        edges=along(Event.PROMOTE, out_of={State.SCHEDULED}),
        where=f"t.due_at <= now() + interval '{_LONGEST_SECONDS} seconds' AND t.put_offs > 0"
        f" AND t.queue = ANY(:queues) AND {RUNS}",
        order="ORDER BY t.due_at LIMIT :limit FOR UPDATE OF t SKIP LOCKED",
    )
)


def take_up(conn: Connection, queues: Sequence[str], *, types: Mapping[str, int], limit: int = 1000) -> Committed[int]:
    """Queues what was put off and can run now in one of these queues, as `types` are known (`claim.RUNS`); answers how
    many. Without this they would wait for up to five minutes.
    """
    rows = conn.execute(_TAKE_UP, {"queues": list(queues), **known(types), "limit": limit}).all()
    return Committed.of_rows(rows, len(rows))
