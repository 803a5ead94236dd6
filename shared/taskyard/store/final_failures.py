"""Final failures that others than the task's own process recorded: of crashes, time limits and lost workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from ..domain.errors import LedgerUnavailable
from ..domain.tasks import Change, State
from ..telemetry.reports import MOST_A_MINUTE, FailedTask, Reports
from ..telemetry.trace_context import trace_id_of

log = structlog.stdlib.get_logger(__name__)

_PAGE = 100

# Written so that no index over states fits: the ids are looked up, also by a plan that was kept.
_FAILED = sa.text("""
SELECT t.id, t.name, t.queue, t.attempt, t.error, t.request_id, t.traceparent, a.traceback
FROM task t
LEFT JOIN LATERAL (SELECT traceback FROM task_attempt WHERE task_id = t.id ORDER BY id DESC LIMIT 1) a ON true
WHERE t.id = ANY(:ids) AND (t.state || '') = 'failed'
""")


def failed_tasks(conn: Connection, ids: Sequence[UUID]) -> list[FailedTask]:
    return [_of_row(row) for row in conn.execute(_FAILED, {"ids": [*ids]})]


Read = Callable[[Connection], list[FailedTask]]


def report_failures(reports: Reports, run: Callable[[Read], list[FailedTask]], changes: Sequence[Change]) -> None:
    """Call it after the commit of these changes. What is not read is counted as lost, and stands in the ledger: what
    exceeds the reports of a minute, and all of it without PostgreSQL. Passes on what else `run` raises."""
    if not reports.is_on:
        return
    ids = [change.task_id for change in changes if change.state is State.FAILED]
    read = 0
    try:
        for start in range(0, min(len(ids), MOST_A_MINUTE), _PAGE):
            page = ids[start : start + _PAGE]
            for task in run(partial(failed_tasks, ids=page)):
                reports.task_failed(task)
            read += len(page)
    except LedgerUnavailable as e:
        log.warning("failures_unreported", tasks=len(ids) - read, error=str(e))
    finally:
        reports.lost(len(ids) - read)


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
