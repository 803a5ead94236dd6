"""Deliveries of progress: of each task the newest only, and not too often.

A delivery has no content of its own: it tells what is the newest when it is sent. So one that waits serves all progress
that comes meanwhile, and none is sent late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.callbacks import DELIVER, HARD_LIMIT, LIFE, PROGRESS_EVERY, QUEUE, SOFT_LIMIT
from ..domain.ids import new_id
from .committed import Committed
from .idempotency import StoredAnswer
from .keyed import KeyedRequest, submit_keyed
from .submit import NewTask, Unique

_WANTED = sa.text("""
SELECT id, callback ->> 'url' AS url, callback ->> 'endpoint_id' AS endpoint_id, request_id, traceparent, submitted_by,
    allowed_queues
FROM task WHERE id = ANY(:ids) AND callback IS NOT NULL
""")
_DONE = StoredAnswer(202, {}, b"")


def call_progress(conn: Connection, delays: Mapping[UUID, timedelta]) -> Committed[None]:
    """Enters a delivery for each of the tasks, due after its delay; none where one waits already.
    `conn` must be in a transaction.
    """
    rows = conn.execute(_WANTED, {"ids": list(delays)}).all()
    requests = [KeyedRequest([_delivery(row, delays[row.id])], lambda _: _DONE) for row in rows]
    return submit_keyed(conn, requests).answering(None)


def _delivery(row: sa.Row[Any], delay: timedelta) -> NewTask:
    return NewTask(
        id=new_id(),
        name=DELIVER,
        queue=QUEUE,
        params={"endpoint_id": row.endpoint_id, "url": row.url, "progress_of": str(row.id)},
        max_attempts=1,
        soft_timeout_seconds=SOFT_LIMIT.total_seconds(),
        hard_timeout_seconds=HARD_LIMIT.total_seconds(),
        delay_seconds=delay.total_seconds(),
        life_seconds=LIFE.total_seconds(),
        unique=Unique(f"progress of {row.id}", "waiting"),
        request_id=row.request_id,
        traceparent=row.traceparent,
        submitted_by=row.submitted_by,
        allowed_queues=row.allowed_queues,
    )


class ProgressCalls:
    """When the latest delivery of each task's progress is, or was, due (on the clock of `time.monotonic()`).

    That is kept through the end of an attempt: the next one may begin at once, and tells of the same task.
    """

    def __init__(self) -> None:
        self._due: dict[UUID, float] = {}

    def delays(self, ids: Iterable[UUID], now: float) -> dict[UUID, timedelta]:
        """Those of the tasks with new progress that need a delivery, and how long it has to wait. The first goes at
        once."""
        every = PROGRESS_EVERY.total_seconds()
        self._due = {task_id: due for task_id, due in self._due.items() if due + every > now}
        delays: dict[UUID, timedelta] = {}
        for task_id in ids:
            latest = self._due.get(task_id)
            if latest is not None and latest > now:
                continue  # that one will tell it
            due = now if latest is None else latest + every
            self._due[task_id] = due
            delays[task_id] = timedelta(seconds=due - now)
        return delays
