"""The broker: what Redis holds, and how full it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import falcon.asgi
import redis
import redis.asyncio
import structlog
from sqlalchemy import Connection

from taskyard.broker.names import Names
from taskyard.domain.messages import message
from taskyard.store import fleet

from .. import broker_answers, views
from ..auth import Scope
from ..ledger_pool import LedgerPool
from ..operations import Answer, Operation
from ..queues import KnownQueues
from ..requests import Request
from ..translation import LANGUAGE, Translations

log = structlog.get_logger(__name__)

_SECONDS = 2.0
_AWAY = (redis.RedisError, OSError, TimeoutError)


class Broker:
    def __init__(
        self,
        ledger: LedgerPool,
        client: redis.asyncio.Redis,
        names: Names,
        known: KnownQueues,
        translations: Translations,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._names = names
        self._known = known
        self._translations = translations

    @Operation(
        summary="What Redis holds, and how full it is",
        description="Also while Redis is away: `status` says so. Of queues and of the outbox, what the key may see.",
        scope=Scope.READ,
        answers={200: Answer(description="The broker.", model=broker_answers.Broker, headers=LANGUAGE)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        caller, words = req.context.caller, self._translations.for_reader(req)

        def read(conn: Connection) -> tuple[set[str], Mapping[Any, Any]]:
            return fleet.queue_names(conn), fleet.outbox(conn)

        found, outbox = await self._ledger.run(read)
        queues = sorted(filter(caller.sees, self._known.configured | found))
        told: dict[str, Any] = {"status": "up", "reason": None, "latency_ms": None, "server": None, "queues": []}
        try:
            async with asyncio.timeout(_SECONDS):
                told |= await self._held(queues)
        except _AWAY as e:
            log.info("broker_unknown", error=str(e))
            told |= {"status": "away", "reason": words.say(message("does not answer"))}
        told["outbox"] = {name: outbox[name] for name in ("pending", "oldest_at")} if caller.queues is None else None
        views.send(resp, 200, told, words)

    async def _held(self, queues: Sequence[str]) -> dict[str, Any]:
        """In two round trips, however many queues there are."""
        began = time.perf_counter()
        async with self._client.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(self._names.queue(queue))
                pipe.hlen(self._names.messages(queue))
            counts = await pipe.execute()
        latency = round((time.perf_counter() - began) * 1000, 2)
        shown = [
            # A message stays in the hash until it is acknowledged; the two are counted one after the other.
            {"name": queue, "queued": queued, "unacknowledged": max(0, held - queued)}
            for queue, queued, held in zip(queues, counts[::2], counts[1::2], strict=True)
        ]
        return {"latency_ms": latency, "queues": shown, "server": await self._server()}

    async def _server(self) -> dict[str, Any] | None:
        """None where it does not tell: some hosted ones refuse INFO."""
        try:
            info: dict[str, Any] = await self._client.info("server", "memory", "clients", "stats")
        except redis.ResponseError:
            return None
        return server_of(info)


def server_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """Out of Redis's INFO."""
    is_valkey = "valkey_version" in info
    return {
        "name": "valkey" if is_valkey else "redis",
        "version": str(info["valkey_version" if is_valkey else "redis_version"]),
        "mode": info.get("server_mode" if "server_mode" in info else "redis_mode", "standalone"),
        "uptime_seconds": info.get("uptime_in_seconds", 0),
        # Redis bounds its memory without the buffers of replicas and of the append-only file.
        "used_bytes": info.get("used_memory", 0) - info.get("mem_not_counted_for_evict", 0),
        "max_bytes": info.get("maxmemory") or None,
        "eviction_policy": info.get("maxmemory_policy", ""),
        "evicted_keys": info.get("evicted_keys", 0),
        "clients": info.get("connected_clients", 0),
        "max_clients": info.get("maxclients"),
    }
