"""Retention: deletes old rows of small tables that would otherwise grow for ever, and retires old task types."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
import structlog

from taskyard.domain.statistics import Window
from taskyard.store import task_types
from taskyard.store.analytics import KEPT_DAYS, SUMS_KEPT_DAYS, UNSUMMED_KEPT_DAYS
from taskyard.store.record_imports import IMPORTS_KEPT_DAYS
from taskyard.store.record_syncs import SYNCS_KEPT_DAYS
from taskyard.store.users import ACTIVITY_KEPT_DAYS

from .leader import Leadership

log = structlog.stdlib.get_logger(__name__)

_BATCH = 1000

# SKIP LOCKED: a key that a request uses at this moment can wait for the next pass.
_IDEMPOTENCY_KEYS = sa.text("""
DELETE FROM idempotency_key WHERE (api_key_id, key) IN (
    SELECT api_key_id, key FROM idempotency_key WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)
""")

_WORKERS = sa.text("""
DELETE FROM worker WHERE id IN (
    SELECT id FROM worker WHERE least(lost_at, stopped_at) < now() - interval '7 days'
    LIMIT :limit FOR UPDATE SKIP LOCKED)
""")


def _older(table: str, column: str, days: int) -> sa.TextClause:
    """By whole hours, so that what is left can be summed up. By place: the keys of these tables have many columns."""
    return sa.text(f"""
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {table} WHERE {column} < date_trunc('hour', now(), 'UTC') - interval '{days} days'
    LIMIT :limit FOR UPDATE SKIP LOCKED))
""")  # noqa: S608 - made of constants


def _summed(table: str, column: str) -> sa.TextClause:
    """Rows of hours that have sums. By the hours, so that a pass does not walk over rows that have to stay."""
    hour = "date_trunc('hour', now(), 'UTC')"
    return sa.text(f"""
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT t.ctid FROM analytics_hour h
    JOIN {table} t ON t.{column} >= h.hour AND t.{column} < h.hour + interval '1 hour'
    WHERE h.hour < {hour} - interval '{KEPT_DAYS} days' AND h.hour >= {hour} - interval '{UNSUMMED_KEPT_DAYS} days'
    LIMIT :limit FOR UPDATE OF t SKIP LOCKED))
""")  # noqa: S608 - made of constants


def _out_of_window(table: str, window: Window) -> sa.TextClause:
    return sa.text(f"""
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {table} WHERE span = '{window}' AND at < now() - CAST(:kept AS interval)
    LIMIT :limit FOR UPDATE SKIP LOCKED))
""").bindparams(kept=window.kept)  # noqa: S608 - made of constants


_ERROR_GROUPS = sa.text("""
DELETE FROM error_group WHERE id IN (
    SELECT id FROM error_group WHERE last_seen_at < now() - CAST(:kept AS interval)
    LIMIT :limit FOR UPDATE SKIP LOCKED)
""").bindparams(kept=Window.MONTH.kept)

_PASSES = {
    "idempotency_keys": _IDEMPOTENCY_KEYS,
    "workers": _WORKERS,
    "request_counts": _summed("request_count", "minute"),
    "request_counts_unsummed": _older("request_count", "minute", UNSUMMED_KEPT_DAYS),
    "usage_events": _summed("usage_event", "at"),
    "usage_events_unsummed": _older("usage_event", "at", UNSUMMED_KEPT_DAYS),
    "sums_of_requests": _older("request_hour", "hour", SUMS_KEPT_DAYS),
    "sums_of_usage": _older("usage_hour", "hour", SUMS_KEPT_DAYS),
    "hours_of_sums": _older("analytics_hour", "hour", SUMS_KEPT_DAYS),
    "activity_of_users": _older("user_activity", "at", ACTIVITY_KEPT_DAYS),
    "positions_of_imports": _older("record_import", "moved_at", IMPORTS_KEPT_DAYS),
    # The slowest rate is one an hour.
    "paces_of_limits": _older("limit_pace", "last_at", 1),
    "error_groups": _ERROR_GROUPS,
    "samples_of_workers": _older("worker_sample", "at", Window.DAY.kept.days),
    **{
        f"{table}_of_{window}": _out_of_window(table, window)
        for table in ("task_count", "error_count", "queue_sample")
        for window in Window
    },
    "cursors_of_syncs": _older("record_sync", "moved_at", SYNCS_KEPT_DAYS),
}


_FIRES = sa.text("""
DELETE FROM schedule_fire WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM schedule_fire WHERE fired_at < now() - CAST(:kept AS interval)
    ORDER BY fired_at LIMIT :limit FOR UPDATE SKIP LOCKED))
""")


class Retention:
    """Deletes idempotency keys after 24 h, workers seven days after their end, and what analytics, users, imports and
    syncs do not need any more (`store/analytics.py`, `store/users.py`, `store/record_imports.py`,
    `store/record_syncs.py` say after how many days). Deletes statistics and groups of failures after twice the window
    that shows them (`domain/statistics.py`). Deletes fires of schedules after `fires_kept`.
    Retires task types that no worker has had for 30 days; `lease` says how long a worker lives after a heartbeat."""

    def __init__(self, leadership: Leadership, *, lease: timedelta, fires_kept: timedelta = timedelta(days=90)) -> None:
        self._leadership = leadership
        self._lease = lease
        self._passes = {**_PASSES, "fires": _FIRES.bindparams(kept=fires_kept)}

    def turn(self) -> None:
        for what, statement in self._passes.items():
            deleted = self._delete(statement)
            if deleted:
                log.info("retention_pass", what=what, deleted=deleted)
        if not self._leadership.leading:
            return
        for name, version in self._leadership.write(lambda conn: task_types.retire(conn, lease=self._lease)):
            log.warning("task_type_retired", task_name=name, version=version)

    def _delete(self, statement: sa.TextClause) -> int:
        """In batches, each in its own transaction, so that no lock is held for long."""
        total = 0
        while self._leadership.leading:
            deleted: int = self._leadership.write(lambda conn: conn.execute(statement, {"limit": _BATCH}).rowcount)
            total += deleted
            if deleted < _BATCH:
                break
        return total
