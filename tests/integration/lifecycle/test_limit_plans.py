"""What the leader reads for limits does not grow with what waits elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.lifecycle import submit
from taskyard.lifecycle.limit_backlog import Backlog
from taskyard.store import ledger
from tests.integration.store.plans import plans_of

from .rows import new


def test_a_walk_over_a_full_queue_does_not_read_what_waits_in_another(conn: Connection, engine: Engine) -> None:
    for queue in ("others", "full"):
        for _ in range(10):
            submit.submit(conn, [new(queue=queue) for _ in range(1000)])
    conn.execute(sa.text("VACUUM ANALYZE task"))
    backlog = Backlog()
    backlog.walk(["full"])
    with ledger.transaction(engine) as watched:
        (plan,) = plans_of(watched, lambda c: backlog.published(c, ["full"]))
    assert plan.scans("task") == ["Index Scan ix_task_live"], str(plan)
    assert sum(node.get("Rows Removed by Filter", 0) for node in plan.nodes()) == 0
