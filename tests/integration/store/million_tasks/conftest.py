"""Every query stays flat at a million tasks: no scan of the whole table, and a bound on the pages read.

Pages, not milliseconds: they are the same on every machine. Two shapes: nearly all tasks wait, nearly all are done.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

import pytest
import sqlalchemy as sa

from taskyard.store import ledger
from tests.integration.store import seeding
from tests.integration.store.million_tasks.seeded import N, Seeded


@pytest.fixture(scope="session", params=[pytest.param(mix, marks=pytest.mark.long) for mix in ("waiting", "finished")])
def million(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Seeded]:
    url = new_database()
    mix = seeding.WAITING if request.param == "waiting" else seeding.FINISHED
    seeding.seed(url.replace("+psycopg", ""), mix)
    engine = ledger.make_engine(url)
    try:
        with ledger.transaction(engine) as conn:
            conn.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # other tests may come between

            def ids(condition: str) -> list[UUID]:
                rows = conn.execute(sa.text(f"SELECT id FROM task WHERE {condition} LIMIT {N * 100}"))
                return list(rows.scalars())

            queued = ids("state = 'queued' AND (expires_at IS NULL OR expires_at > now() + interval '1 hour')")
            failed = ids("state = 'failed' ORDER BY id DESC")
            middle = conn.execute(sa.text("SELECT id FROM task ORDER BY id OFFSET 500000 LIMIT 1")).scalar_one()
            yield Seeded(conn, queued, failed, middle, request.param == "waiting")
            conn.rollback()
    finally:
        engine.dispose()


@pytest.fixture
def seeded(million: Seeded, turn: Iterator[int]) -> Seeded:
    """With rows that few tests before have written: what they undid is read on the way to a row."""
    n = next(turn)

    def part(ids: list[UUID]) -> list[UUID]:
        at = n % (len(ids) // N) * N
        return ids[at : at + N]

    return replace(million, queued=part(million.queued), failed=part(million.failed))


@pytest.fixture(scope="session")
def turn() -> Iterator[int]:
    return itertools.count()
