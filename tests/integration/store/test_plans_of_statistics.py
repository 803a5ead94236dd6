"""Statistics stay flat: counting reads new attempts and their tasks, an answer the points of its window."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.domain.statistics import Window
from taskyard.store import error_groups, fleet, ledger, statistics
from taskyard_scheduler.error_counts import count_errors
from taskyard_scheduler.statistics import count_page

from .plans import plans_of

TASKS = """
INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, run_at, state,
    finished_at, attempt)
SELECT gen_random_uuid(), 'type' || n % 200, 'q' || n % 5, '{}', 1, 1, 1, now(), 'failed', now(), 1
FROM generate_series(1, 50000) n
"""
ATTEMPTS = """
INSERT INTO task_attempt (task_id, attempt, outcome, queue, started_at, error)
SELECT id, 1, 'failed', queue, now() - interval '1 second', '{"code": "boom", "place": "a:b"}' FROM task
"""
# 200 types in five queues, in each point that is kept, with long histograms.
COUNTS = """
INSERT INTO task_count (span, at, queue, name, succeeded, runs, waits)
SELECT :span, date_bin(:step, now(), '1970-01-01T00:00:00Z') - point * CAST(:step AS interval), 'q' || q, 'type' || n,
    30, array_fill(CAST(1 AS int8), ARRAY[30]), array_fill(CAST(1 AS int8), ARRAY[20])
FROM generate_series(0, CAST(:points AS int) - 1) point, generate_series(0, 4) q, generate_series(1, :types) n
"""
GROUPS = """
WITH made AS (
    INSERT INTO error_group (id, queue, name, code, place, failures, first_seen_at, last_seen_at, task_ids)
    SELECT gen_random_uuid(), 'q' || n % 5, 'type' || n % 200, 'code' || n % 7, 'm:f' || n, 1, now(),
        now() - n * interval '1 second', ARRAY[gen_random_uuid()] FROM generate_series(1, 5000) n RETURNING id
)
INSERT INTO error_count (group_id, span, at, failures)
SELECT id, 'day', date_bin('15 minutes', now(), '1970-01-01T00:00:00Z') - p * interval '15 minutes', 1
FROM made, generate_series(0, 19) p
"""


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    with ledger.transaction(engine) as conn:
        yield conn
        conn.rollback()


def test_a_page_of_attempts_is_counted_without_reading_others(conn: Connection) -> None:
    conn.execute(sa.text(TASKS))
    conn.execute(sa.text(ATTEMPTS))
    conn.execute(sa.text("ANALYZE task, task_attempt"))
    upto = conn.execute(sa.text("SELECT max(id) FROM task_attempt")).scalar_one()
    conn.execute(sa.text("INSERT INTO counted_mark VALUES ('attempts', :at)"), {"at": upto - 1000})
    for plan in plans_of(conn, partial(count_page, upto=upto, page=1000)):
        assert not {"task", "task_attempt"} & plan.seq_scans, str(plan)
        assert plan.buffers < 1000 * 6 + 500, str(plan)
    after = {"after": upto - 1000, "upto": upto}
    for plan in plans_of(conn, lambda conn: count_errors(conn, **after)):
        assert not {"task", "task_attempt"} & plan.seq_scans, str(plan)
    count_page(conn, upto=upto, page=1000)
    assert conn.execute(sa.text("SELECT sum(failures) FROM error_group")).scalar_one() == 1000


def test_what_a_window_costs_is_bounded_by_its_points_and_types(conn: Connection) -> None:
    for window in Window:
        points = window.kept // window.step
        values = {"span": window, "step": window.step, "points": points, "types": 20}
        conn.execute(sa.text(COUNTS), values)
    conn.execute(sa.text(GROUPS))
    conn.execute(sa.text("ANALYZE task_count, error_group, error_count"))
    rows = conn.execute(sa.text("SELECT count(*) FROM task_count")).scalar_one()
    for window in Window:
        read = partial(statistics.of_attempts, window=window, queues=None, queue=None, name=None)
        (plan,) = plans_of(conn, read)
        looked_at = max(node["Actual Rows"] for node in plan.nodes() if node.get("Relation Name") == "task_count")
        assert looked_at <= (window.length // window.step) * 100 < rows / 2, str(plan)
    rate = partial(fleet.queues, names=None, lease=Window.HOUR.step, window=5 * Window.HOUR.step)
    conn.execute(sa.text("INSERT INTO queue (name) SELECT 'q' || n FROM generate_series(0, 99) n"))
    (plan,) = plans_of(conn, rate)
    assert plan.scans("task_count") in (
        ["Index Scan pk_task_count"],
        ["Bitmap Index Scan pk_task_count", "Bitmap Heap Scan"],
        ["Bitmap Heap Scan"],
    ), str(plan)


def test_a_page_of_groups_reads_the_attempts_of_its_own_only(conn: Connection) -> None:
    conn.execute(sa.text(GROUPS))
    conn.execute(sa.text("ANALYZE error_group, error_count"))
    page = partial(error_groups.page, wanted=error_groups.Filter(), before=None, limit=51)
    (plan,) = plans_of(conn, page)
    assert max(node["Actual Loops"] for node in plan.nodes()) <= 51, str(plan)
