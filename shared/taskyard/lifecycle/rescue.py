"""rescue: what becomes of running tasks whose process died.

A supervisor calls `lose` for a child that ended; the leader calls `lost_workers` and `orphans` for whole hosts. The
only task that had begun in what died is guilty and pays one crash. Where several had begun, or where it is not known
whether one had, each is a suspect: it pays nothing yet and runs next alone in a process. What was ended for another
task's fault is displaced: it pays nothing and runs next apart from the queue. The others are innocent, and keep their
place in the queue. (`taskyard_worker.quarantine` tells the whole story.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..domain.failures import Cause
from ..domain.tasks import Change, Event, FailureKind, State
from ..store.what_runs import LIVE_QUEUES
from .batch import encode
from .committed import Committed
from .composer import Verb, along, incoming
from .consequences import compose
from .failures import failure_sql

# So many times a task may be suspected without proof; then it pays like a guilty one.
MAX_SUSPICIONS = 10
# A claim that has not begun within a quarter of a second is given back: what was claimed this long before a beat that
# does not list it had not begun, and will not.
UNLISTED_FOR = timedelta(seconds=2)


class Guilt(StrEnum):
    INNOCENT = "innocent"  # it was ended for no task's fault: its worker stopped, or its process died idle
    DISPLACED = "displaced"  # its process was ended for another task's fault
    ALIKE = "alike"  # the same, and the task at fault had its type and its submitter: it runs next alone
    SUSPECT = "suspect"  # one of several that ran in what died, or that may have
    GUILTY = "guilty"  # the only one that ran in what died

    @classmethod
    def of_begun(cls, tasks: int) -> Guilt:
        """What each of so many tasks is that had begun in a process, or on a host, that died."""
        return cls.GUILTY if tasks == 1 else cls.SUSPECT


@dataclass(frozen=True, slots=True)
class Lost:
    """A claim whose holder is gone. `cause` is for people; text is shown as it is in every language."""

    task_id: UUID
    claim: UUID
    guilt: Guilt
    cause: Cause | str
    peak_memory_bytes: int | None = None


_IS_GUILTY = "(i.guilt = 'guilty' OR i.guilt = 'suspect' AND t.suspicions >= :max_suspicions)"
_IS_SUSPECT = "(i.guilt = 'suspect' AND t.suspicions < :max_suspicions)"


def _crash(code: str, row: str, *, retryable: bool = True, **values: str) -> str:
    return failure_sql(
        code,
        error_type="Crash",
        kind=FailureKind.CRASH,
        retryable=retryable,
        values={**values, "cause": f"coalesce({row}.phrase, to_jsonb(left({row}.cause, 500)))"},
        english={"cause": f"left({row}.cause, 500)"},
        attempt="t.attempt",
    )


_LIMIT = _crash("crash_limit", "l", retryable=False, crashes="t.crashes + 1")

# A lost task is queued again, unless its crashes reached the limit, or its end was asked for.
_LOSE = compose(
    Verb(
        name="lose",
        edges=along(Event.LOSE, Event.FAIL, Event.RELEASE) + along(Event.CANCEL, out_of={State.RUNNING}),
        event="CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancel'"
        f" WHEN {_IS_GUILTY} AND t.crashes + 1 >= :crash_limit THEN 'fail'"
        " WHEN i.guilt = 'innocent' THEN 'release' ELSE 'lose' END",
        given=incoming("task_id uuid, claim uuid, guilt text, cause text, phrase jsonb, peak_memory_bytes int8"),
        source="task t JOIN incoming i ON i.task_id = t.id",
        where="t.claim = i.claim",
        locks={
            "is_guilty": _IS_GUILTY,
            "is_suspect": _IS_SUSPECT,
            "displaced_by": "CASE i.guilt WHEN 'displaced' THEN 1 WHEN 'alike' THEN 2 ELSE 0 END",
            "cause": "i.cause",
            "phrase": "i.phrase",
            "peak_memory_bytes": "i.peak_memory_bytes",
            "began_at": "t.started_at",
            "ended_at": "now()",
            "attempt_outcome": f"CASE WHEN {_IS_GUILTY} THEN 'crashed' WHEN {_IS_SUSPECT} THEN 'suspected'"
            " ELSE 'released' END",
            "attempt_error": f"CASE WHEN {_IS_GUILTY} THEN {_crash('crash', 'i')}"
            f" WHEN {_IS_SUSPECT} THEN {_crash('crash_suspect', 'i')} END",
        },
        sets={
            "crashes": "t.crashes + CASE WHEN l.is_guilty THEN 1 ELSE 0 END",
            "suspicions": "t.suspicions + CASE WHEN l.is_suspect THEN 1 ELSE 0 END",
            "displacements": "t.displacements + l.displaced_by",
            "error": f"CASE WHEN l.event = 'fail' THEN {_LIMIT} ELSE t.error END",
        },
    )
)


def lose(conn: Connection, lost: Sequence[Lost], *, crash_limit: int = 3) -> Committed[list[Change]]:
    """Ends the attempts of claims whose holder is gone; a claim that moved on meanwhile is left alone.
    Answers the changes.
    """
    if not lost:
        return Committed([])
    values = {
        "batch": encode([_row(one) for one in lost]),
        "crash_limit": crash_limit,
        "max_suspicions": MAX_SUSPICIONS,
    }
    return Committed.of_moves(conn.execute(_LOSE, values).all())


def _row(lost: Lost) -> dict[str, Any]:
    cause = lost.cause
    return {
        "task_id": lost.task_id,
        "claim": lost.claim,
        "guilt": lost.guilt,
        "cause": str(cause),
        "phrase": cause.value if isinstance(cause, Cause) else None,
        "peak_memory_bytes": lost.peak_memory_bytes,
    }


_LOST_WORKERS = sa.text("""
UPDATE worker SET lost_at = now(), state = 'lost'
WHERE lost_at IS NULL AND stopped_at IS NULL AND beat_at < now() - CAST(:lease AS interval)
RETURNING id, name
""")


def lost_workers(conn: Connection, *, lease: timedelta) -> list[tuple[UUID, str]]:
    """Marks workers whose beat is overdue; from then on their claims win nothing."""
    return [(r.id, r.name) for r in conn.execute(_LOST_WORKERS, {"lease": lease})]


# An anti-join, not a one-shot after `lost_workers`: a rescue that was cut off is taken up by the next pass.
# Queue by queue, so that the scan touches running rows only, however many wait (index ix_task_live). `is_fresh`: the
# last beat could not tell whether it began; a worker that stopped in order had ended everything by then.
_ORPHANS = sa.text(f"""
{LIVE_QUEUES}, orphan AS (
    SELECT t.id, t.claim, t.suspicions, t.worker_id, coalesce(t.id = ANY(w.begun), false) AS is_listed,
        coalesce(w.stopped_at IS NULL AND t.started_at > w.beat_at - CAST(:unlisted_for AS interval), false)
            AS is_fresh,
        coalesce(cardinality(w.begun), 0) AS listed
    FROM q CROSS JOIN LATERAL (
        SELECT id, claim, suspicions, worker_id, started_at FROM task
        WHERE queue = q.name AND state = 'running' AND finished_at IS NULL
    ) t
    LEFT JOIN worker w ON w.id = t.worker_id
    WHERE w.id IS NULL OR w.lost_at IS NOT NULL OR w.stopped_at IS NOT NULL
)
SELECT id, claim, is_listed OR is_fresh AS may_have_begun, is_listed OR suspicions > 0 AS is_sure,
    listed + count(*) FILTER (WHERE is_fresh AND NOT is_listed) OVER (PARTITION BY worker_id) AS of
FROM orphan ORDER BY id LIMIT :limit
""")  # noqa: S608 constants only


def orphans(conn: Connection, *, limit: int = 1000) -> list[Lost]:
    """Running tasks whose worker is lost, stopped or unknown.

    As begun counts what the worker's last beat listed. What was claimed since then may have begun too, and be what
    ended the worker: it is suspected, and so is what was listed beside it. (A suspect is claimed only where it begins
    at once.)
    """
    rows = conn.execute(_ORPHANS, {"limit": limit, "unlisted_for": UNLISTED_FOR})
    return [Lost(r.id, r.claim, _guilt_of(r), Cause("worker_lost")) for r in rows]


def _guilt_of(orphan: sa.Row[Any]) -> Guilt:
    if not orphan.may_have_begun:
        return Guilt.INNOCENT
    return Guilt.of_begun(orphan.of) if orphan.is_sure else Guilt.SUSPECT
