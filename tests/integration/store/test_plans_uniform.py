"""Choosing live tasks stays flat where nearly all tasks have one name and one queue.

By its statistics the planner then expects to find as many along the primary key as along another index.
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

NAME = seeding.NAMES[0]
ROWS, LIMIT = 100_000, 1000
# All are in one state, or half of them have ended.
MIXES = {"waiting": seeding.Mix("queued"), "half": seeding.Mix("queued", oldest=5000, scheduled=50, running=5)}


@pytest.fixture(scope="module", params=MIXES)
def conn(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Connection]:
    url = new_database()
    seeding.seed(url.replace("+psycopg", ""), MIXES[request.param], ROWS, is_uniform=True)
    engine = ledger.make_engine(url)
    with ledger.transaction(engine) as conn:
        yield conn
    engine.dispose()


WANTED: list[tuple[dict[str, Any], int]] = [
    ({"name": NAME}, 100),
    ({"name": NAME, "states": {State.RETRYING}}, 20),
    ({"name": NAME, "tag": seeding.COMMON_TAG, "states": {State.RETRYING}}, 100),
    ({"queue": "default", "tag": seeding.COMMON_TAG, "states": {State.RETRYING}}, 100),
    ({"name": NAME, "queues": ["selection"]}, 100),
    # Rows are read here, not the index alone.
    ({"name": NAME, "queue": "default"}, LIMIT),
    ({"name": seeding.RARE_NAME, "queue": "default"}, LIMIT),
]


@pytest.mark.parametrize(("wanted", "pages"), WANTED, ids=str)
def test_choosing_among_tasks_of_one_name_is_flat(conn: Connection, wanted: dict[str, Any], pages: int) -> None:
    asked = live_tasks.Wanted(**wanted)
    (plan,) = plans_of(conn, lambda conn: live_tasks.choose(conn, asked, limit=LIMIT))
    assert plan.buffers <= pages, f"{plan.buffers} pages instead of {pages}:\n{plan}"


def test_counting_tasks_of_one_name_that_wait_reads_an_index_alone(conn: Connection) -> None:
    asked = live_tasks.Wanted(name=NAME)
    (plan,) = plans_of(conn, lambda conn: live_tasks.count(conn, asked))
    by_queue = {"Index Only Scan ix_task_live", "Index Scan ix_task_live"}
    assert {*plan.scans("task")} == {"Index Only Scan ix_task_named", *by_queue}, str(plan)
    running = [node for node in plan.nodes() if node["Node Type"] == "Index Scan"]
    assert all("queue = " in node["Index Cond"] and "'running'" in node["Index Cond"] for node in running), str(plan)
