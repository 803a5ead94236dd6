"""Dead letters: listed, counted, retried, discarded and restored."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from taskyard.lifecycle.replay import discard_dead_letters as discard
from taskyard.lifecycle.replay import replay_cancelled
from taskyard.lifecycle.replay import replay_dead_letters as replay
from taskyard.lifecycle.replay import restore_dead_letters as restore
from taskyard.store import dead_letters
from taskyard.store.audit import Actor
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import N, Seeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


DEAD: list[dict[str, Any]] = [
    {},
    {"name": seeding.NAMES[0]},
    {"name": seeding.RARE_NAME},
    {"name": "no.such"},
    {"queue": "default"},
    {"queue": "selection"},
    {"queues": frozenset({"selection"})},
    {"code": "smtp_refused"},
    {"code": seeding.RARE_CODE},
    {"code": "no_such"},
    {"code": seeding.RARE_CODE, "queue": "default"},
    {"name": seeding.NAMES[1], "code": seeding.RARE_CODE},
    {"name": seeding.RARE_NAME, "code": "smtp_refused"},
]


@pytest.mark.parametrize("wanted", DEAD, ids=str)
def test_a_page_of_dead_letters_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # A walk of at most 50 rows in each queue, over rows that are not in order of their making, and the 50 themselves.
    asked = dead_letters.Wanted(**wanted)
    pages = len(seeding.QUEUES) * 60 + 400
    if seeded.is_waiting and {"name", "code"} <= wanted.keys():
        # Few have failed here, and by its statistics the planner may look at all of a queue that share the code (some
        # 200) for the name. Where many have failed it takes the index on both, which the other shape holds it to.
        pages += len(seeding.QUEUES) * 200
    plans = seeded.measure(lambda conn: dead_letters.page(conn, asked), pages=pages)
    plans += seeded.measure(lambda conn: dead_letters.page(conn, asked, before=seeded.middle), pages=pages)
    for plan in plans:
        assert all("dead_letter" in scan or "pk_task" in scan for scan in plan.scans("task")), str(plan)


def test_counting_the_newest_dead_letters_by_type_and_code_reads_no_others(seeded: Seeded) -> None:
    dead = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'failed'")).scalar_one()
    pages = min(dead, dead_letters.MOST_GROUPED) * 6 + len(seeding.QUEUES) * 60 + 500
    for plan in seeded.measure(lambda conn: dead_letters.groups(conn, dead_letters.Wanted()), pages=pages):
        assert all("dead_letter" in scan or "pk_task" in scan for scan in plan.scans("task")), str(plan)


@pytest.mark.parametrize("wanted", DEAD, ids=str)
def test_retrying_and_discarding_dead_letters_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # Counting looks at every one that matches, choosing and writing only at so many.
    asked, by, limit = dead_letters.Wanted(**wanted), Actor("ops"), 100
    dead = seeded.conn.execute(sa.text("SELECT count(*) FROM task WHERE state = 'failed'")).scalar_one()
    pages = dead + limit * 60 + 500
    seeded.measure(lambda conn: dead_letters.count(conn, asked), pages=dead + 500)
    more: dict[str, Any] = {"life": timedelta(days=1), "per_second": 50}
    seeded.measure(lambda conn: replay(conn, asked, by=by, limit=limit, **more), pages=pages)
    seeded.measure(lambda conn: discard(conn, asked, by=by, limit=limit), pages=pages)


def test_retrying_and_discarding_dead_letters_by_id_is_flat(seeded: Seeded) -> None:
    asked, by = dead_letters.Wanted(ids=seeded.failed), Actor("ops")
    seeded.measure(lambda conn: replay(conn, asked, by=by, life=timedelta(days=1), per_second=50), pages=N * 70)
    seeded.measure(lambda conn: discard(conn, asked, by=by), pages=N * 70)


def test_retrying_cancelled_tasks_by_id_is_flat(seeded: Seeded) -> None:
    cancelled = seeded.conn.execute(sa.text(f"SELECT id FROM task WHERE state = 'cancelled' LIMIT {N}")).scalars().all()
    asked = dead_letters.Wanted(ids=cancelled, cancelled=True, is_no_step=True)
    again = partial(replay_cancelled, wanted=asked, by=Actor("ops"), life=timedelta(days=1), per_second=50)
    seeded.measure(again, pages=N * 70)
    seeded.measure(partial(dead_letters.count, wanted=asked), pages=N * 10)
    seeded.measure(partial(dead_letters.page, wanted=asked), pages=N * 30)
    with seeded.conn.begin_nested() as undone:
        assert len(again(seeded.conn).answer.changed) == N
        undone.rollback()


@pytest.mark.parametrize("wanted", [{}, {"code": "smtp_refused"}, {"queue": "selection"}, {"name": "no.such"}], ids=str)
def test_what_was_discarded_is_listed_and_restored_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    put_away = sa.text(
        "UPDATE task SET discarded_at = now() WHERE id = ANY("
        "ARRAY(SELECT id FROM task WHERE state = 'failed' LIMIT 150))"
    )
    with seeded.conn.begin_nested() as undone:
        seeded.conn.execute(put_away)
        asked = dead_letters.Wanted(**wanted, discarded=True)
        plans = seeded.measure(lambda conn: dead_letters.page(conn, asked), pages=1_500)
        plans += seeded.measure(lambda conn: dead_letters.choose(conn, asked, limit=N), pages=1_500)
        for plan in plans:
            assert any("ix_task_discarded" in scan for scan in plan.scans("task")), str(plan)
        seeded.measure(lambda conn: restore(conn, asked, by=Actor("ops"), limit=N), pages=N * 70 + 1_500)
        undone.rollback()
