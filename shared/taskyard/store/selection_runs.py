# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""Selection runs: the tasks of three types, and what is kept of those whose tasks are gone.

A run is its task, under the same id, however that was submitted. While the task is there it is read from the task's
row; afterwards from `selection_run`, which a trigger wrote in the transaction that removed the task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from ..domain.tasks import FINAL, WAITING, State
from .reads import UNBOUNDED
from .what_runs import NAMED, NEWEST_OF_A_STATE, OF_LIVE_QUEUES, RUNS

# The newest so many messages of a run, and so many characters of each.
MAX_MESSAGES = 100
MAX_MESSAGE = 1000


class Kind(StrEnum):
    LOAD_GSHEET = "load_gsheet"
    RUN_SELECT = "run_select"
    MANAGE_OLD_TABS = "manage_old_tabs"

    @property
    def task_type(self) -> str:
        return f"selection.{self}"

    @classmethod
    def of(cls, task_type: str) -> Kind:
        return cls(task_type.removeprefix("selection."))


class Status(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


STATUS: Mapping[State, Status] = {
    **dict.fromkeys(WAITING, Status.PENDING),
    State.RUNNING: Status.RUNNING,
    State.SUCCEEDED: Status.COMPLETED,
    State.FAILED: Status.FAILED,
    State.CANCELLED: Status.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads. `lease`: how long a worker lives after a heartbeat. A key that is restricted to `queues` sees the runs
    of its own (`owner`) that are in them; None: all."""

    lease: timedelta
    owner: str | None = None
    queues: Collection[str] | None = None


# A run whose worker is lost does not run: it waits for the leader, which queues it again within a second.
_IS_ORPHANED = """NOT EXISTS (SELECT FROM worker w WHERE w.id = t.worker_id AND w.lost_at IS NULL
    AND w.stopped_at IS NULL AND w.beat_at >= now() - CAST(:lease AS interval))"""
_STATE = f"CASE WHEN t.state = '{State.RUNNING}' AND {_IS_ORPHANED} THEN '{State.QUEUED}' ELSE t.state END AS state"
_SHARED = "t.id, t.name, t.version, t.submitted_by, t.created_at, t.finished_at, t.result, t.error"
_LIVE = (
    f"{_SHARED}, {_STATE}, t.attempt, CAST(NULL AS float8) AS progress_current,"
    " CAST(NULL AS float8) AS progress_total, CAST(NULL AS text[]) AS messages"
)
_KEPT = f"{_SHARED}, t.state, CAST(NULL AS int4), t.progress_current, t.progress_total, t.messages"
_IS_GONE = "NOT EXISTS (SELECT FROM task l WHERE l.id = t.id)"
# As the trigger of `task` keeps them.
_MESSAGES = f"""ARRAY(SELECT m.message FROM (
    SELECT e.id, left(e.data ->> 'message', {MAX_MESSAGE}) AS message FROM task_event e
    WHERE e.task_id = t.id AND e.kind IN ('log', 'stage') AND e.data ->> 'message' <> ''
    ORDER BY e.id DESC LIMIT {MAX_MESSAGES}) m ORDER BY m.id)"""


def run_by_id(conn: Connection, run_id: UUID, reader: Reader) -> RowMapping | None:
    """The run with what is shown of it (see `runs_page`), or None."""
    conditions, values = _seen_by(reader)
    conditions += ["t.id = :id", "t.name = ANY(:names)"]
    values |= {"id": run_id, "names": [kind.task_type for kind in Kind], "most_bytes": UNBOUNDED}
    return conn.execute(_shown(_alone(tuple(conditions))), values).mappings().first()


def runs_page(
    conn: Connection,
    reader: Reader,
    *,
    kind: Kind | None = None,
    status: Status | None = None,
    before: UUID | None = None,
    limit: int = 50,
    most_bytes: int = UNBOUNDED,
) -> list[RowMapping]:
    """Up to `limit` runs, newest first, with ids below `before`. Fewer, but one at least, where their results and
    messages have more than `most_bytes`. `has_more`: whether there is another behind it.

    Rows have what a task has: `state`, `result` (JSON text), `error`, `progress_current` and `progress_total`; and the
    newest `messages`, oldest first.
    """
    conditions, values = _seen_by(reader)
    states = [state for state in State if status in {None, STATUS[state]}]
    if status is Status.PENDING:
        states.append(State.RUNNING)
    if before is not None:
        conditions.append("t.id < :before")
        values["before"] = before
    values |= {
        "names": [one.task_type for one in Kind if kind in {None, one}],
        "states": states,
        "ended": [state for state in states if state in FINAL],
        "running": status in {None, Status.RUNNING},
        "orphaned": status in {None, Status.PENDING},
        "limit": limit,
        "most_bytes": most_bytes,
    }
    return list(conn.execute(_shown(_walks(tuple(conditions))), values).mappings())


def _seen_by(reader: Reader) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {"lease": reader.lease}
    if reader.owner is not None:
        conditions.append("t.submitted_by = :owner")
        values["owner"] = reader.owner
    if reader.queues is not None:
        conditions.append("t.queue = ANY(:queues)")
        values["queues"] = sorted(reader.queues)
    return conditions, values


def _alone(conditions: tuple[str, ...]) -> str:
    where = " AND ".join(conditions)
    return (
        f"SELECT {_LIVE} FROM task t WHERE {where}"
        f" UNION ALL SELECT {_KEPT} FROM selection_run t WHERE {where} AND {_IS_GONE}"
    )


def _walks(conditions: tuple[str, ...]) -> str:
    """A short walk for each type and state, merged: along ix_task_named, ix_task_live for what runs, and
    ix_selection_run_name for what is kept."""
    where = "".join(f" AND {condition}" for condition in conditions)
    is_wanted = f"CASE WHEN {_IS_ORPHANED} THEN :orphaned ELSE :running END"
    tail = "ORDER BY t.id DESC LIMIT :limit"

    def walk(columns: str, table: str, states: str, condition: str) -> str:
        return (
            f"SELECT t.* FROM unnest(CAST(:names AS text[])) n(name) CROSS JOIN unnest(CAST(:{states} AS text[]))"
            f" s(state) CROSS JOIN LATERAL (SELECT {columns} FROM {table} t"
            f" WHERE t.name = n.name AND t.state = s.state AND {condition}{where} {tail}) t"
        )

    live = walk(_LIVE, "task", "states", NAMED)
    runs = (
        f"SELECT t.* FROM {OF_LIVE_QUEUES} CROSS JOIN LATERAL (SELECT {_LIVE} FROM task t"
        f" WHERE t.name = ANY(:names) AND {RUNS} AND {is_wanted}{where} {NEWEST_OF_A_STATE} LIMIT :limit) t"
    )
    kept = walk(_KEPT, "selection_run", "ended", _IS_GONE)
    return f"SELECT t.* FROM ({live} UNION ALL {runs} UNION ALL {kept}) t {tail}"


@lru_cache(maxsize=64)
def _shown(runs: str) -> sa.TextClause:
    return sa.text(f"""
    WITH run AS MATERIALIZED ({runs}),
    shown AS MATERIALIZED ( -- its messages are read once
        SELECT t.id, t.name, t.version, t.state, t.submitted_by, t.created_at, t.finished_at,
            CAST(t.result AS text) AS result, t.error, coalesce(t.progress_current, p.current) AS progress_current,
            coalesce(t.progress_total, p.total) AS progress_total, coalesce(t.messages, {_MESSAGES}) AS messages
        FROM run t LEFT JOIN task_progress p ON p.task_id = t.id AND p.attempt = t.attempt
    ),
    sized AS (
        SELECT t.*, lead(t.id) OVER (ORDER BY t.id DESC) IS NOT NULL AS has_more,
            coalesce(sum(octet_length(array_to_string(t.messages, '')) + coalesce(octet_length(t.result), 0)) OVER (
                ORDER BY t.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
        FROM shown t
    )
    SELECT * FROM sized t WHERE t.bytes_before < :most_bytes ORDER BY t.id DESC""")
