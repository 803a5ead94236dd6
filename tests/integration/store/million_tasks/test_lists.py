"""Lists of tasks, crashes, fires and selection runs."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import State
from taskyard.store import crashes, live_tasks, reads, schedules
from taskyard.store.selection_runs import Kind, Reader, Status, run_by_id, runs_page
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import Seeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


NAMES = (seeding.NAMES[0], seeding.RARE_NAME, "no.such")
QUEUES = ("default", "selection", "no_such")
TAGS = (seeding.COMMON_TAG, seeding.RARE_TAG, "no_such")
BY_STATE = [[state] for state in State] + [[State.QUEUED, State.RUNNING], [State.QUEUED, State.FAILED]]
FILTERS: list[dict[str, Any]] = [
    {},
    *({"states": states} for states in BY_STATE),
    *({"name": name} for name in NAMES),
    *({"name": name, "states": states} for name in NAMES for states in BY_STATE),
    *({"queue": queue} for queue in QUEUES),
    *({"queues": [queue]} for queue in QUEUES),
    {"queues": list(seeding.QUEUES)},
    *({"queue": queue, "states": states} for queue in QUEUES for states in BY_STATE),
    {"name": seeding.NAMES[0], "queue": "default"},
    {"worker_id": seeding.LIVE_WORKER, "states": [State.RUNNING]},
]


def _named(wanted: dict[str, Any]) -> str:
    return " ".join(f"{k}={'+'.join(v) if isinstance(v, list) else v}" for k, v in wanted.items()) or "all"


@pytest.mark.parametrize("wanted", FILTERS, ids=_named)
def test_a_page_of_a_list_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # At most one walk of 50 rows per queue and state, a few pages a row.
    walks = len(seeding.QUEUES) * len(wanted.get("states") or State) if "name" not in wanted else len(State)
    pages = 400 + 60 * walks
    seeded.measure(lambda conn: reads.tasks_page(conn, reads.TaskFilter(**wanted)), pages=pages)
    seeded.measure(lambda conn: reads.tasks_page(conn, reads.TaskFilter(**wanted), before=seeded.middle), pages=pages)


@pytest.mark.parametrize("states", [(), (State.RUNNING,), (State.SUCCEEDED,)], ids=str)
@pytest.mark.parametrize("tag", TAGS)
def test_a_list_by_tag_reads_the_tagged_rows_at_worst(seeded: Seeded, tag: str, states: tuple[State, ...]) -> None:
    # A tag in 1,000 rows of a million: all of them, in each queue. A common tag with a final state behind a backlog is
    # known not to be flat (docs/decisions/0003-indexes.md): it passes over the backlog, and still scans no table.
    behind_a_backlog = tag == seeding.COMMON_TAG and State.SUCCEEDED in states and seeded.is_waiting
    pages = 2_000_000 if behind_a_backlog else 6500
    seeded.measure(lambda conn: reads.tasks_page(conn, reads.TaskFilter(tag=tag, states=states)), pages=pages)


def test_a_list_of_a_span_of_time_reads_that_span_and_the_skew_of_clocks(seeded: Seeded) -> None:
    # The seed has 1,000 tasks a second, so that the room for skewed clocks holds 300,000 of them.
    now = seeded.conn.execute(sa.text("SELECT now()")).scalar_one()
    wanted = reads.TaskFilter(created_after=now - timedelta(minutes=8), created_before=now - timedelta(minutes=7))
    seeded.measure(lambda conn: reads.tasks_page(conn, wanted), pages=20_000)


@pytest.mark.parametrize("column", ["parent_id", "schedule_id"])
def test_a_list_of_what_a_task_or_a_schedule_submitted_is_flat(seeded: Seeded, column: str) -> None:
    """Beside others that submitted twenty thousand."""
    origin = new_id()
    mark = sa.text(
        f"UPDATE task SET {column} = CASE WHEN mod(n, 100) = 0 THEN :origin ELSE gen_random_uuid() END"
        " FROM (SELECT id AS of, row_number() OVER () AS n FROM task ORDER BY id LIMIT 20000) s WHERE id = s.of"
    )
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(mark, {"origin": origin})
        for states in ((), (State.RUNNING,)):
            wanted = reads.TaskFilter(**{column: origin}, states=states)  # type: ignore[arg-type]
            plans = seeded.measure(lambda conn, wanted=wanted: reads.tasks_page(conn, wanted), pages=1_500)  # type: ignore[misc]
            assert any(column.removesuffix("_id") in scan for scan in plans[0].scans("task")), str(plans[0])
        undone.rollback()


def test_a_list_of_crashes_reads_crashes_alone(seeded: Seeded) -> None:
    """A thousand among two hundred thousand attempts."""
    attempts = """INSERT INTO task_attempt (task_id, attempt, outcome, worker, queue)
        SELECT id, 1, CASE WHEN mod(n, 200) = 0 THEN 'crashed' ELSE 'succeeded' END, 'w:' || mod(n, 8), queue
        FROM (SELECT id, queue, row_number() OVER () AS n FROM task LIMIT 200000) t"""
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(sa.text(attempts))
        seeded.conn.execute(sa.text("ANALYZE task_attempt"))
        first = crashes.page(seeded.conn, crashes.Wanted())
        assert len(first) == 50
        for given, pages in (({}, 500), ({"worker": "x"}, 6_000), ({"name": seeding.NAMES[0]}, 6_000)):
            wanted = crashes.Wanted(**given)  # type: ignore[arg-type]
            for before in (None, first[-1]["id"]):
                (plan,) = seeded.measure(partial(crashes.page, wanted=wanted, before=before), pages=pages)
                assert any("ix_task_attempt_crash" in scan for scan in plan.scans("task_attempt")), str(plan)
        undone.rollback()


def test_the_last_fires_of_a_page_of_schedules_are_a_row_each(seeded: Seeded) -> None:
    """Of two hundred schedules with a thousand fires each."""
    fires = """INSERT INTO schedule_fire (schedule_id, due_at, outcome, task_id)
        SELECT s.id, now() - n * interval '1 minute', 'submitted', t.id
        FROM unnest(CAST(:ids AS uuid[])) s(id), generate_series(1, 1000) n, (SELECT id FROM task LIMIT 1) t"""
    schedule_rows = """INSERT INTO schedule
            (id, name, task, task_bytes, task_name, queue, trigger, anchored_at, misfire, catch_up_seconds, overlap)
        SELECT id, 's-' || id, '{}', 2, 'diagnostics.echo', 'default', '{}', now(), 'once', 60, 'skip'
        FROM unnest(CAST(:ids AS uuid[])) s(id)"""
    ids = [new_id() for _ in range(200)]
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(sa.text(fires), {"ids": ids})
        seeded.conn.execute(sa.text("ANALYZE schedule_fire"))
        for queues in (None, ["default"]):
            seeded.measure(partial(schedules.last_fires, schedule_ids=ids, queues=queues), pages=2_500)
            seeded.measure(partial(schedules.fires_page, schedule_id=ids[0], limit=50, queues=queues), pages=500)
        seeded.conn.execute(sa.text(schedule_rows), {"ids": ids})
        seeded.conn.execute(sa.text("ANALYZE schedule"))
        for troubled in (True, False):
            seeded.measure(partial(schedules.page, limit=50, troubled=troubled), pages=2_500)
        undone.rollback()


@pytest.mark.parametrize("wanted", [{}, {"queue": "default"}, {"queues": ["selection"]}, {"name": "no.such"}], ids=str)
def test_the_list_of_what_runs_longest_reads_what_runs(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # Some 500 run.
    read = partial(reads.longest_running, wanted=reads.TaskFilter(**wanted))
    seeded.measure(read, pages=2_000)
    at = seeded.conn.execute(sa.text("SELECT id FROM task WHERE state = 'running' LIMIT 1")).scalar_one()
    seeded.measure(partial(read, after=at), pages=2_000)


@pytest.mark.parametrize("wanted", [{}, {"queue": "default"}, {"queues": ["selection"]}, {"name": "no.such"}], ids=str)
def test_the_list_of_what_waits_longest_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    for behind in (None, seeded.middle):
        asked = live_tasks.Wanted(**wanted, states=[State.QUEUED], behind=behind)
        seeded.measure(partial(live_tasks.sample, wanted=asked, limit=51), pages=len(seeding.QUEUES) * 60 + 500)


def test_selection_runs_are_read_flat(seeded: Seeded) -> None:
    # Of 24 walks (three types, eight states) most find nothing; a walk of 50 rows reads them, and each row of the page
    # has its worker, progress and messages looked up.
    reader = Reader(lease=timedelta(seconds=30))
    with seeded.conn.begin_nested() as undone:
        rename = sa.text("UPDATE task SET name = 'selection.run_select' WHERE name = :name RETURNING id")
        run = seeded.conn.execute(rename, {"name": seeding.RARE_NAME}).scalars().first()
        assert run is not None
        wanted: list[dict[str, Any]] = [{}, {"kind": Kind.RUN_SELECT}, *({"status": status} for status in Status)]
        for one in wanted:
            seeded.measure(partial(runs_page, reader=reader, **one), pages=1_000)
            seeded.measure(partial(runs_page, reader=reader, before=seeded.middle, **one), pages=1_000)
        seeded.measure(partial(run_by_id, run_id=run, reader=reader), pages=20)
        undone.rollback()
