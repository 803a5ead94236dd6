"""What starts and stops with the application."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import redis.asyncio
import structlog
from sqlalchemy import Engine

from taskyard.lifecycle.dispatch import Dispatcher

from .health import Health
from .heavy import HeavyWork
from .known_types import KnownTypes
from .ledger_pool import LedgerPool
from .live import Live
from .queues import KnownQueues
from .request_counts import RequestCounts
from .submission import Submission
from .uploads import Files

log = structlog.get_logger(__name__)


class WakeUps(NamedTuple):
    """Where Redis says that workers have registered task types."""

    client: redis.asyncio.Redis
    channel: str


@dataclass(frozen=True, kw_only=True)
class Lifespan:
    """Falcon middleware."""

    engines: Sequence[Engine]
    dispatcher: Dispatcher
    submission: Submission
    counts: RequestCounts
    ledger: LedgerPool
    live: Live
    health: Health
    queues: KnownQueues
    types: KnownTypes
    wake_ups: WakeUps
    files: Files
    cache: redis.asyncio.Redis
    heavy: HeavyWork
    _background: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    async def process_startup(self, scope: object, event: object) -> None:
        self.dispatcher.start()
        self.live.start()
        self._background.append(asyncio.create_task(self.queues.ensure()))
        self._background.append(asyncio.create_task(self.types.keep_fresh()))
        self._background.append(asyncio.create_task(self.types.listen(*self.wake_ups)))
        self._background.append(asyncio.create_task(self.health.watch()))
        self._background.append(asyncio.create_task(self.counts.write_on()))
        self._background.append(asyncio.create_task(self.files.keep_clean()))

    async def process_shutdown(self, scope: object, event: object) -> None:
        """In the order in which data flows: accepted tasks are written before written ones are published."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.live.stop()
        await self.cache.aclose()
        await self.submission.close()
        await self.counts.write()
        await asyncio.to_thread(self.dispatcher.stop)
        await asyncio.to_thread(self.ledger.close)
        await asyncio.to_thread(self.health.close)
        await asyncio.to_thread(self.files.close)
        await asyncio.to_thread(self.heavy.close)
        for engine in self.engines:
            engine.dispose()
        log.info("stopped")
