# ruff: noqa: S608 - statements are put together from the fragments in this file; every value is bound
"""What runs, by another criterion than its queue: ix_task_named has none of it, so that a claim makes no entry there.
ix_task_live has, queue by queue, and the slots of the workers bound how much that is."""

from __future__ import annotations

# The queues in which something is live, with one step in ix_task_live each: not all of them have a row in `queue`.
LIVE_QUEUES = """
WITH RECURSIVE q AS (
    (SELECT queue AS name FROM task WHERE finished_at IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue FROM task t WHERE t.finished_at IS NULL AND t.queue > q.name ORDER BY t.queue LIMIT 1)
    FROM q WHERE q.name IS NOT NULL
)
"""
# The tasks `t` of these queues `q` that run. A range, and the state in the order, though there is one state only: else
# the planner may walk the primary key, through all tasks where few run.
OF_LIVE_QUEUES = f"({LIVE_QUEUES} SELECT name FROM q) q"
RUNS = "t.queue = q.name AND t.state BETWEEN 'running' AND 'running' AND t.finished_at IS NULL"
NEWEST_OF_A_STATE = "ORDER BY t.state DESC, t.id DESC"
# The predicate of ix_task_named, to be repeated for the planner to see it.
NAMED = "t.state <> 'running'"
