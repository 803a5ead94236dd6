"""Choosing live tasks by their name stays flat where nearly all tasks have that name.

Then neither the name nor its order in the table tells the planner that an index on it is better than the primary key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from taskyard.domain.tasks import State
from taskyard.store import ledger, live_tasks

from . import seeding
from .plans import plans_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]

NAME = "email.send"
ROWS, LIMIT = 100_000, 1000
# All are in one state, or half of them have ended.
MIXES = {"waiting": seeding.Mix("queued"), "half": seeding.Mix("queued", oldest=5000, scheduled=50, running=5)}


@pytest.fixture(scope="module", params=MIXES)
def conn(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Connection]:
    url = new_database()
    seeding.seed(url.replace("+psycopg", ""), MIXES[request.param], ROWS, names=[NAME] * len(seeding.NAMES))
    engine = ledger.make_engine(url)
    with ledger.transaction(engine) as conn:
        yield conn
    engine.dispose()


WANTED: list[tuple[dict[str, Any], int]] = [
    ({"name": NAME}, 100),
    ({"name": NAME, "states": {State.RETRYING}}, 20),
    # The queue's tasks are chosen by their name, or the reverse: rows are read, not the index alone.
    ({"name": NAME, "queue": "low_priority"}, LIMIT),
    ({"name": seeding.RARE_NAME, "queue": "default"}, LIMIT),
]


@pytest.mark.parametrize(("wanted", "pages"), WANTED, ids=str)
def test_choosing_live_tasks_by_a_common_name_is_flat(conn: Connection, wanted: dict[str, Any], pages: int) -> None:
    asked = live_tasks.Wanted(**wanted)
    (plan,) = plans_of(conn, lambda conn: live_tasks.choose(conn, asked, limit=LIMIT))
    assert plan.buffers <= pages, f"{plan.buffers} pages instead of {pages}:\n{plan}"


def test_counting_live_tasks_by_a_common_name_reads_an_index_alone(conn: Connection) -> None:
    asked = live_tasks.Wanted(name=NAME)
    (plan,) = plans_of(conn, lambda conn: live_tasks.count(conn, asked))
    assert plan.scans("task") == ["Index Only Scan ix_task_name"], str(plan)
