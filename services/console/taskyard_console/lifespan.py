"""What ends with the application."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from taskyard_client import AsyncClient

from .live import Live

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Lifespan:
    """Falcon middleware."""

    live: Live
    client: AsyncClient

    async def process_shutdown(self, scope: object, event: object) -> None:
        await self.live.stop()
        await self.client.close()
        log.info("stopped")
