"""analytics.aggregate: a transaction for each hour. A run that follows another finds the hours that are left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from taskyard import TaskContext, TaskError, task
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.store import analytics, rollups
from taskyard.store.analytics import Period
from taskyard.store.tree_items import owner_seen

from .declarations import Aggregated, AggregateParams, ModelTotals, RequestTotals
from .words import ERRORS


@task("analytics.aggregate", queue="low_priority", errors=ERRORS)
def aggregate(params: AggregateParams, *, context: TaskContext) -> Aggregated:
    """Sums requests and the usage of models up by the hour, and sums up anew where something came late."""
    with context.db() as conn:
        hours = rollups.open_hours(conn)
    passed, summed = 0, 0
    failed: list[datetime] = []
    try:
        for hour in hours:
            context.progress(passed, len(hours), "Summing up")
            try:
                with context.db() as conn:
                    summed += rollups.sum_up(conn, hour)
            except rollups.NotSummed as e:
                failed.append(hour)
                context.log(f"The hour {_written(hour)} was not summed up: {e}", level="warning")
            passed += 1
        context.progress(passed, len(hours), "Done")
    except SoftTimeLimitExceeded:
        context.log(f"There was time for {passed} of {len(hours)} hours.", level="warning")
    if failed:
        raise TaskError("hours_not_summed", hours=len(failed), first=_written(failed[0]))
    with context.db() as conn:
        requests, models = _told(conn, params.hours, context)
        left = len(rollups.open_hours(conn))
    context.set_attributes({"analytics.models_used": len(models), "analytics.summed_hours": summed})
    if requests is not None:
        context.set_attributes({"analytics.requests_processed": requests.total})
    return Aggregated(
        requests=requests,
        models=models,
        aggregated_at=datetime.now(UTC),
        summed_hours=summed,
        open_hours=left,
    )


def _written(hour: datetime) -> str:
    return f"{hour.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def _told(conn: Connection, hours: int, context: TaskContext) -> tuple[RequestTotals | None, list[ModelTotals]]:
    end = analytics.hour_of(datetime.now(UTC))
    period = Period(end - timedelta(hours=hours), end, "total")
    owner = owner_seen(context.submitted_by, context.allowed_queues)
    models = [ModelTotals(**_without_start(row)) for row in analytics.models(conn, period, owner=owner)]
    if context.allowed_queues is not None:
        return None, models
    return _totals(analytics.requests(conn, period)), models


def _totals(routes: list[dict[str, Any]]) -> RequestTotals:
    total = sum(row["requests"] for row in routes)
    seconds = sum(row["mean_seconds"] * row["requests"] for row in routes)
    return RequestTotals(
        total=total,
        client_errors=sum(row["client_errors"] for row in routes),
        server_errors=sum(row["server_errors"] for row in routes),
        mean_seconds=seconds / total if total else None,
    )


def _without_start(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "start"}
