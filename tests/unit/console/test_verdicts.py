"""The health in the header: each key's own, and never an old one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from taskyard_client.errors import ApiAway
from taskyard_console.verdicts import Verdicts


class Told:
    """An API that tells `status`; None: it is away."""

    def __init__(self, status: str | None) -> None:
        self.status = status
        self.asked = 0

    async def health(self) -> Any:
        self.asked += 1
        if self.status is None:
            raise ApiAway("away")
        return SimpleNamespace(status=self.status)


def test_a_verdict_is_its_key_s_own_and_is_dropped_when_it_is_old() -> None:
    now = 0.0
    all_queues: Any = Told("healthy")
    few_queues: Any = Told("degraded")

    async def visits() -> list[str]:
        nonlocal now
        verdicts = Verdicts(lambda: now)
        seen = []
        for seconds, api, key in (
            (0, all_queues, "a"),
            (1, all_queues, "a"),
            (1, few_queues, "b"),
            (1, few_queues, "b"),
            (1, all_queues, "a"),
            (20, all_queues, "a"),
            (60, all_queues, "a"),
            (1, all_queues, "a"),
        ):
            now += seconds
            seen.append(verdicts.last(api, key))
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(visits()) == ["", "healthy", "", "degraded", "healthy", "healthy", "", "healthy"]
    assert (all_queues.asked, few_queues.asked) == (3, 1)


def test_health_is_not_known_while_the_api_is_away() -> None:
    now = 0.0
    api: Any = Told("healthy")

    async def visits() -> list[str]:
        nonlocal now
        verdicts = Verdicts(lambda: now)
        seen = []
        for status in ("healthy", None, None):
            api.status = status
            seen.append(verdicts.last(api, "a"))
            await asyncio.sleep(0)
            now += 6
        return seen

    assert asyncio.run(visits()) == ["", "healthy", ""]
