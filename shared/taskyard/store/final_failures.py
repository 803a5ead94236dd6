"""Final failures that others than the task's own process recorded: of crashes, time limits and lost workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from ..domain.errors import LedgerUnavailable
from ..domain.tasks import Change, State
from ..telemetry.reports import FailedTask, Reports
from ..telemetry.trace_context import trace_id_of

log = structlog.stdlib.get_logger(__name__)

# Of one batch; a crash limit is met by few tasks at a time.
_MOST = 100

_FAILED = sa.text("""
SELECT t.id, t.name, t.queue, t.attempt, t.error, t.request_id, t.traceparent, a.traceback
FROM task t
LEFT JOIN LATERAL (SELECT traceback FROM task_attempt WHERE task_id = t.id ORDER BY id DESC LIMIT 1) a ON true
WHERE t.id = ANY(:ids) AND t.state = 'failed'
""")


def failed_tasks(conn: Connection, ids: Sequence[UUID]) -> list[FailedTask]:
    return [_of_row(row) for row in conn.execute(_FAILED, {"ids": [*ids]})]


Read = Callable[[Connection], list[FailedTask]]


def report_failures(reports: Reports, run: Callable[[Read], list[FailedTask]], changes: Sequence[Change]) -> None:
    """Call it after the commit of these changes. Without PostgreSQL there is no report: they stand in the ledger."""
    if not reports.is_on:
        return
    ids = [change.task_id for change in changes if change.state is State.FAILED][:_MOST]
    if not ids:
        return
    try:
        failed = run(lambda conn: failed_tasks(conn, ids))
    except LedgerUnavailable as e:
        log.warning("failures_unreported", tasks=len(ids), error=str(e))
        return
    for task in failed:
        reports.task_failed(task)


def _of_row(row: Any) -> FailedTask:
    error = row.error or {}
    return FailedTask(
        task_id=row.id,
        name=row.name,
        queue=row.queue,
        attempt=row.attempt,
        kind=str(error.get("kind", "")),
        code=str(error.get("code", "")),
        type=str(error.get("type", "")),
        message=str(error.get("message", "")),
        traceback=row.traceback,
        request_id=row.request_id,
        trace_id=trace_id_of(row.traceparent),
    )
