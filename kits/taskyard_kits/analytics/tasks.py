"""analytics.aggregate: a transaction for each hour. A run that follows another finds the hours that are left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from taskyard import TaskContext, task
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.store import analytics, rollups
from taskyard.store.analytics import Period
from taskyard.store.tree_items import owner_seen

from .declarations import Aggregated, AggregateParams, ModelTotals, RequestTotals


@task("analytics.aggregate", queue="low_priority")
def aggregate(params: AggregateParams, *, context: TaskContext) -> Aggregated:
    """Sums requests and the usage of models up by the hour, and sums up anew where something came late."""
    with context.db() as conn:
        hours = rollups.open_hours(conn)
    passed, summed = 0, 0
    try:
        for hour in hours:
            context.progress(passed, len(hours), "Summing up")
            with context.db() as conn:
                summed += rollups.sum_up(conn, hour)
            passed += 1
        context.progress(passed, len(hours), "Done")
    except SoftTimeLimitExceeded:
        context.log(f"There was time for {passed} of {len(hours)} hours.", level="warning")
    with context.db() as conn:
        requests, models = _told(conn, params.hours, context)
        left = len(rollups.open_hours(conn))
    return Aggregated(
        requests=requests,
        models=models,
        aggregated_at=datetime.now(UTC),
        summed_hours=summed,
        open_hours=left,
    )


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
