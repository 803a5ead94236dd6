"""What the API knows of the registry while PostgreSQL is away."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from taskyard.domain.errors import LedgerUnavailable
from taskyard.store import ledger
from taskyard_api.known_types import KnownTypes
from taskyard_api.ledger_pool import LedgerPool
from tests.support.fleet import free_port
from tests.support.unheard import Unheard


class CountingPool(LedgerPool):
    calls = 0

    async def run(self, *given: object, **more: object) -> object:  # type: ignore[override]
        self.calls += 1
        return await super().run(*given, **more)  # type: ignore[arg-type]


def test_callers_share_a_look_that_fails_and_the_next_one_is_a_second_later() -> None:
    engine = ledger.make_engine(f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing", pool_size=1)
    now = 100.0

    async def story() -> list[int]:
        pool = CountingPool(engine, 1, Unheard())
        types = KnownTypes(pool, lease=timedelta(seconds=20), clock=lambda: now)
        looks = []
        nonlocal now
        for _ in range(3):
            found = await asyncio.gather(*(types.fresh() for _ in range(30)), return_exceptions=True)
            assert all(isinstance(answer, LedgerUnavailable) for answer in found)
            looks.append(pool.calls)
            now += 0.6
        return looks

    assert asyncio.run(story()) == [1, 1, 2]
    engine.dispose()
