"""What makes a queued task claimable: the one list that claim, refusals and suspects share.

Each condition is SQL over a task `t`. They bind `:worker_id` (NULL: no particular worker), `:types` (the names of the
types that the worker runs) and `:alone` (whether what is claimed runs alone in its process).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """`sql` holds where nothing speaks against a claim; `refusal` names the reason where it does not."""

    refusal: str
    sql: str
    concerns_repeats: bool = False
    """Whether it holds for a claim that is repeated, too, because its answer was lost."""


CONDITIONS = (
    # Rescue marks a worker lost before it takes its tasks back, so one that was given up wins no more.
    Condition(
        "worker_lost",
        "(CAST(:worker_id AS uuid) IS NULL OR EXISTS ("
        "SELECT FROM worker w WHERE w.id = :worker_id AND w.lost_at IS NULL AND w.stopped_at IS NULL))",
        concerns_repeats=True,
    ),
    Condition("paused", "NOT EXISTS (SELECT FROM queue q WHERE q.name = t.queue AND q.paused_at IS NOT NULL)"),
    Condition("unknown", "t.name = ANY(:types)"),
    # A task that may have ended a process runs next alone (see taskyard_worker.quarantine).
    Condition("suspect", "(t.suspicions = 0 OR :alone)"),
    Condition("expired", "(t.expires_at IS NULL OR t.expires_at > now())"),
)

NOW = " AND ".join(c.sql for c in CONDITIONS)
"""A queued task may be claimed."""
FIRST_TIME = " AND ".join(c.sql for c in CONDITIONS if not c.concerns_repeats)
"""The part that is not asked of a repeated claim."""
EVERY_TIME = " AND ".join(c.sql for c in CONDITIONS if c.concerns_repeats)

_WHENS = " ".join(f"WHEN NOT {c.sql} THEN '{c.refusal}'" for c in CONDITIONS)
REFUSAL = f"CASE {_WHENS} ELSE 'open' END"
"""Why it was not claimed; `open`: nothing speaks against it any more."""
