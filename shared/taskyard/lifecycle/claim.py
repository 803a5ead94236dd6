"""claim: queued -> running, for a whole fetch at once, durable before any thread sees a task."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.tasks import Event
from ..store.ledger import updates_in_order
from .committed import Committed
from .composer import Verb, along
from .consequences import compose
from .references import resolve
from .verbs import STATE_BY_ID


# Not frozen: one is made for every task, and a frozen dataclass costs several times as much to make.
@dataclass(slots=True, eq=False)
class Claimed:
    """A task won by this claim; `waited_seconds` is its time in the queue, `life_left_seconds` until it expires.
    `calls_back`: whether a receiver is told of it; `is_limited`: whether it counts against a limit. `unresolved`: the
    code of what hinders that a parameter gets the result that it takes, and `unresolved_at` the pointer to that one.
    """

    claim: UUID
    id: UUID
    name: str
    queue: str
    params: dict[str, Any]
    version: int
    attempt: int
    failures: int
    max_attempts: int
    soft_timeout_seconds: float
    hard_timeout_seconds: float
    waited_seconds: float
    tags: list[str]
    request_id: str | None
    traceparent: str | None
    submitted_by: str | None
    allowed_queues: list[str] | None
    workflow_id: UUID | None
    life_left_seconds: float | None = None
    calls_back: bool = False
    is_limited: bool = True
    unresolved: str | None = None
    unresolved_at: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A queued task that was not claimed; `reason` is one of `CONDITIONS`, `elsewhere` where another worker can run it
    now and this one cannot, or `open` where nothing speaks against it any more: its queue was resumed at this moment.
    `kind`: see `kind_name`.
    """

    id: UUID
    queue: str
    kind: str
    reason: str


# Rescue marks a worker lost before it takes its tasks back, so one that was given up wins no more. This is asked of a
# claim that is repeated, too, because its answer was lost. One expression, which the index of living workers does not
# fit: a kept plan would read all of that, and not look the id up.
WORKER_LIVES = (
    "(CAST(:worker_id AS uuid) IS NULL OR EXISTS ("
    "SELECT FROM worker w WHERE w.id = :worker_id AND coalesce(w.lost_at, w.stopped_at) IS NULL))"
)
# A lower version is upgraded when it runs. A higher one may have parameters that this worker does not know. Never NULL,
# because `refusals` negates it.
RUNS = "coalesce(t.version <= (CAST(:versions AS int4[]))[array_position(CAST(:types AS text[]), t.name)], false)"
# What has to run apart from other tasks, because its process ended before its own end: it may be the cause, it was the
# cause, or it was displaced by another task. (`taskyard_worker.quarantine` tells how it runs.)
IS_APART = "(t.suspicions > 0 OR t.crashes > 0 OR t.displacements > 0)"
# A task that was displaced once may run beside others of its kind.
_IS_ALONE = "(t.suspicions > 0 OR t.crashes > 0 OR t.displacements > 1)"
# `kind_name` of a task.
_KIND = "t.name || ' ' || coalesce(t.submitted_by, '')"
# What makes a queued task claimable: the one list that claim, refusals, suspects and explanations share. Each condition
# on a task `t` stands under the reason that refuses the claim. They bind `:worker_id` (NULL: no particular worker),
# `:queues` (those that it serves; NULL: all), `:types` and `:versions` (the names of the types that the worker runs,
# and its version of each), `:apart` (whether what is claimed runs apart from what ordinary children run) and `:slowed`
# (`kind_name` of what ordinary children leave for now).
CONDITIONS = {
    "worker_lost": WORKER_LIVES,
    "moved": "(CAST(:queues AS text[]) IS NULL OR t.queue = ANY(CAST(:queues AS text[])))",
    "paused": "NOT EXISTS (SELECT FROM queue q WHERE q.name = t.queue AND q.paused_at IS NOT NULL)",
    # A grant that was given before its queue had a limit is good.
    "limited": "CASE coalesce(t.limited, '') WHEN 'granted' THEN true WHEN 'waiting' THEN false ELSE NOT EXISTS ("
    "SELECT FROM queue q WHERE q.name = t.queue AND (q.concurrent IS NOT NULL OR q.per_second IS NOT NULL)) END",
    "unknown": RUNS,
    "apart": f"(NOT {IS_APART} OR :apart)",
    "slowed": f"(:apart OR {_KIND} <> ALL(CAST(:slowed AS text[])))",
    "expired": "(t.expires_at IS NULL OR t.expires_at > now())",
}
_FIRST_TIME = " AND ".join(sql for reason, sql in CONDITIONS.items() if reason != "worker_lost")
_REASONS = " ".join(f"WHEN NOT {sql} THEN '{reason}'" for reason, sql in CONDITIONS.items())

_UNCHANGED = (
    *("params", "version", "failures", "max_attempts", "soft_timeout_seconds", "hard_timeout_seconds", "tags"),
    *("request_id", "traceparent", "submitted_by", "allowed_queues"),
)
# What a run needs beside the columns that every verb answers.
_FOR_THE_RUN = {
    **{column: f"t.{column}" for column in _UNCHANGED},
    "waited_seconds": "CAST(extract(epoch FROM now() - greatest(t.queued_at, t.run_at)) AS float8)",
    "calls_back": "t.callback IS NOT NULL",
    "is_limited": "t.limited IS NOT NULL",
    "life_left_seconds": "CAST(extract(epoch FROM t.expires_at - now()) AS float8)",
}

# `t.claim = :claim OR`: a COMMIT whose answer got lost is tried again, and must find its own rows once more, even
# where the queue was paused in between.
_CLAIM_LOCKED = Verb(
    name="claim",
    edges=along(Event.CLAIM),
    where=f"(t.claim = :claim OR (t.state = 'queued' AND {_FIRST_TIME})) AND {WORKER_LIVES} AND t.id = ANY(:ids)",
    sets={
        "attempt": "t.attempt + CASE WHEN t.state = 'queued' THEN 1 ELSE 0 END",
        "claim": ":claim",
        "worker_id": ":worker_id",
        "worker": ":worker",
        "started_at": "now()",
    },
    returns=_FOR_THE_RUN,
)
# A row that has changed since it was read is not won, except by a repeat that waited for this very claim. `refusals`
# asks about it.
_UNLOCKED = replace(
    _CLAIM_LOCKED, locks={"version_read": "t.ctid"}, fence="(t.claim = :claim OR t.ctid = l.version_read)"
)
_CLAIM, _CLAIM_UNLOCKED = compose(_CLAIM_LOCKED), compose(_UNLOCKED)
# By their places in the answer: to look up twenty names a row costs more than to make the task. The last two fields are
# `resolve`'s.
_PLACES = {column.name: place for place, column in enumerate(_CLAIM.selected_columns)}  # type: ignore[attr-defined]
_fields_of = itemgetter(*(_PLACES[field.name] for field in fields(Claimed)[1:-2]))


def kind_name(name: str, submitted_by: str | None) -> str:
    """Names the tasks of a type that one submitter sent. No name of a type has a space."""
    return f"{name} {submitted_by or ''}"


def known(types: Mapping[str, int]) -> dict[str, list[Any]]:
    """What `RUNS` binds."""
    return {"types": list(types), "versions": list(types.values())}


def claim(
    conn: Connection,
    ids: Sequence[UUID],
    *,
    claim: UUID,
    worker_id: UUID,
    worker: str,
    types: Mapping[str, int],
    queues: Sequence[str] | None = None,
    apart: bool = False,
    slowed: Collection[str] = (),
) -> Committed[list[Claimed]]:
    """Claims those of the tasks that are claimable (see `CONDITIONS`). Some are claimed only where they run `apart`
    from the others.

    `types` are the versions of the types that the worker runs, by their names; `queues` those that it serves (None:
    all); `slowed`: see `kind_name`.

    Safe to repeat with the same `claim` id. What is missing from the answer was not won (see `refusals`).
    """
    values = {
        "ids": list(ids),
        "claim": claim,
        "worker_id": worker_id,
        "worker": worker,
        **known(types),
        "queues": None if queues is None else list(queues),
        "apart": apart,
        "slowed": list(slowed),
    }
    rows = conn.execute(_CLAIM_UNLOCKED if updates_in_order(conn) else _CLAIM, values).all()
    won = [Claimed(claim, *_fields_of(row)) for row in rows]
    resolve(conn, won)
    return Committed.of_rows(rows, won)


# A worker that drains fetches nothing more. The lease is that of `store/fleet.py`.
RUNS_SOMEWHERE = """EXISTS (
    SELECT FROM worker_type r CROSS JOIN LATERAL (SELECT * FROM worker w WHERE w.id = r.worker_id OFFSET 0) w
    WHERE r.name = t.name AND r.version >= t.version AND t.queue = ANY(w.queues) AND w.state <> 'draining'
        AND w.lost_at IS NULL AND w.stopped_at IS NULL AND w.beat_at > now() - CAST(:lease AS interval)
)"""

_REFUSED = sa.text(f"""
SELECT id, queue, kind, CASE WHEN reason = 'unknown' AND is_elsewhere THEN 'elsewhere' ELSE reason END AS reason FROM (
    SELECT t.id, t.queue, {_KIND} AS kind, CASE {_REASONS} ELSE 'open' END AS reason,
        NOT {RUNS} AND {RUNS_SOMEWHERE} AS is_elsewhere
    FROM task t WHERE t.id = ANY(:ids) AND {STATE_BY_ID} = 'queued'
) refused WHERE reason <> 'expired'
""")  # noqa: S608 constants only


def refusals(
    conn: Connection,
    ids: Sequence[UUID],
    *,
    types: Mapping[str, int],
    worker_id: UUID | None = None,
    queues: Sequence[str] | None = None,
    lease: timedelta = timedelta(0),
    slowed: Collection[str] = (),
) -> list[Refusal]:
    """Why queued tasks among `ids` were not won. Not listed are tasks that are not queued (any more), and expired ones,
    which the scheduler ends. Other workers live for `lease` after their last heartbeat.
    """
    values = {
        "ids": list(ids),
        **known(types),
        "worker_id": worker_id,
        "queues": None if queues is None else list(queues),
        "apart": False,
        "slowed": list(slowed),
        "lease": lease,
    }
    return [Refusal(r.id, r.queue, r.kind, r.reason) for r in conn.execute(_REFUSED, values)]


# The least likely to be at fault first.
_BY_FAULT = f"{_IS_ALONE}, t.crashes > 0, t.suspicions = 0"
_SET_APART = sa.text(f"""
SELECT t.id, CASE WHEN NOT {_IS_ALONE} THEN {_KIND} END AS company FROM task t
WHERE t.queue = ANY(:queues) AND t.state = 'queued' AND {IS_APART} AND t.finished_at IS NULL
  AND {" AND ".join(CONDITIONS.values())}
ORDER BY {_BY_FAULT}, row_number() OVER (PARTITION BY {_BY_FAULT}, {_KIND} ORDER BY t.id), t.id LIMIT :limit
""")  # noqa: S608 constants only


def set_apart(
    conn: Connection, queues: Sequence[str], *, types: Mapping[str, int], worker_id: UUID | None = None, limit: int = 10
) -> dict[UUID, str | None]:
    """Claimable tasks that have to run apart from the others: the ledger is asked for them, not Redis. A task may run
    beside others with the same value, which is its kind (`kind_name`); None: alone. Those come first that are the least
    likely to be at fault. Of those the kinds take turns, so that none waits behind all tasks of another; of a kind the
    oldest is first."""
    values = {
        "queues": list(queues),
        **known(types),
        "worker_id": worker_id,
        "apart": True,
        "slowed": [],
        "limit": limit,
    }
    return {r.id: r.company for r in conn.execute(_SET_APART, values)}
