"""Health of the parts: PostgreSQL, Redis, the cache where it is another Redis, the workers, the scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import redis
import redis.asyncio
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from taskyard.broker.names import Names
from taskyard.domain.errors import Overloaded
from taskyard.domain.messages import Series, message
from taskyard.store import fleet, migrate
from taskyard.telemetry.metrics import Dependency

from .auth import Caller
from .health_findings import doubts, finding
from .ledger_pool import LedgerPool, NotMigrated
from .patience import Patience
from .probe import Probe
from .refusals import Stopping
from .resources.fleet import workers_shown
from .translation import TypeName, Words

log = structlog.get_logger(__name__)

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
_REDIS_SECONDS = 2.0
_WATCH_SECONDS = 5.0
# The process that committed something publishes it at once, and the scheduler what is left after 10 s.
_PUBLISHED_WITHIN = timedelta(seconds=20)


class Health:
    """Of two pools of its own, which it closes: `probes` whether PostgreSQL answers, and `parts` what `detailed` tells,
    which may take long."""

    def __init__(
        self,
        *,
        probes: LedgerPool,
        parts: LedgerPool,
        client: redis.asyncio.Redis,
        names: Names,
        cache: redis.asyncio.Redis | None,
        lease: timedelta,
        database: Dependency,
        broker: Dependency,
    ) -> None:
        self._probes = probes
        self._database_probe = Probe(self._ask_database)
        self._parts = parts
        self._client = client
        self._names = names
        self._cache = cache
        self._lease = lease
        self._dependencies = {"database": database, "redis": broker}
        self._migrated = False
        self._stops = False

    def close(self) -> None:
        self._probes.close()
        self._parts.close()

    def stop_soon(self) -> None:
        """From now on not ready, so that a proxy sends requests elsewhere."""
        self._stops = True

    async def ready(self) -> dict[str, str]:
        """Raises Stopping, LedgerUnavailable."""
        if self._stops:
            raise Stopping
        await self._database_probe.answer()
        # As `watch` found it last: a Redis that hangs must not delay a probe.
        is_up = self._dependencies["redis"].is_up
        if is_up is None:
            is_up = (await self._redis())["status"] == HEALTHY
        return {
            "status": "ready" if is_up else "degraded",
            "database": "up",
            "redis": "up" if is_up else "down",
        }

    async def watch(self) -> None:
        """Keeps the metric `dependency_up` current, for ever."""
        while True:
            await asyncio.gather(self._database(), self._redis())
            await asyncio.sleep(_WATCH_SECONDS)

    async def detailed(self, caller: Caller, words: Words) -> dict[str, Any]:
        """Every part; reasons are told in the reader's language. Raises Overloaded: too many ask."""
        parts = {
            "database": self._database(),
            "redis": self._redis_with_room(),
            "workers": self._workers(caller),
            "scheduler": self._scheduler(),
            "outbox": self._outbox(caller),
        }
        found, cache, last_check, lost = await asyncio.gather(
            asyncio.gather(*parts.values()), self._cached(), self._last_check(caller, words), self._lost(caller)
        )
        components = dict(zip(parts, found, strict=True))
        # Without a leader nobody looks.
        components["scheduler"]["tasks_unaccounted"] = lost if components["scheduler"]["leader"] else None
        if cache is not None:
            components["cache"] = cache
        for component in components.values():
            component["reason"] = component["reason"] and words.say(component["reason"])
        # Without PostgreSQL nothing works; without another part, some of it.
        status = HEALTHY
        if any(component["status"] != HEALTHY for component in components.values()):
            status = UNHEALTHY if components["database"]["status"] == UNHEALTHY else DEGRADED
        # An earlier check's findings are shown, but are not the present state.
        shown = components if last_check is None else {**components, "last_check": last_check}
        return {"status": status, "components": shown}

    def _check_database(self, conn: Connection) -> None:
        conn.execute(sa.text("SELECT 1"))
        if not self._migrated:
            if not migrate.is_usable(conn):
                raise NotMigrated("the database is not migrated")
            self._migrated = True

    async def _ask_database(self) -> None:
        """Never refused for want of room: where PostgreSQL answers it is over at once."""
        await self._probes.run(self._check_database, within=Patience(is_admitted=True))

    async def _database(self) -> dict[str, Any]:
        return await self._component(self._database_probe.answer, self._dependencies["database"])

    async def _redis(self) -> dict[str, Any]:
        return await self._component(partial(_ping, self._client), self._dependencies["redis"])

    async def _redis_with_room(self) -> dict[str, Any]:
        """A full Redis answers, and takes no messages: submits are accepted all the same, and wait in the outbox."""
        found = await self._redis()
        if found["status"] == HEALTHY and await _has_no_room(self._client):
            found |= {"status": UNHEALTHY, "reason": message("its memory is full")}
        return found

    async def redis_takes(self) -> bool:
        """Whether Redis takes messages, asked at this moment."""
        return bool((await self._redis_with_room())["status"] == HEALTHY)

    async def _cached(self) -> dict[str, Any] | None:
        """None where the queues' Redis is the cache, too."""
        return None if self._cache is None else await self._component(partial(_ping, self._cache))

    async def _component(
        self, check: Callable[[], Awaitable[Any]], dependency: Dependency | None = None
    ) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            await check()
        except Exception as e:  # noqa: BLE001 - any error means that this part is unhealthy
            if dependency is not None:
                dependency.failed(e)
            status = UNHEALTHY
            reason = message("not migrated") if isinstance(e, NotMigrated) else message("does not answer")
            return {"status": status, "latency_ms": _since(started), "reason": reason}
        if dependency is not None:
            dependency.answered()
        return {"status": HEALTHY, "latency_ms": _since(started), "reason": None}

    async def _workers(self, caller: Caller) -> dict[str, Any]:
        def read(conn: Connection) -> dict[str, Any]:
            count = fleet.living_workers(conn, lease=self._lease, queues=caller.queues)
            newest = fleet.workers(conn, lease=self._lease, queues=caller.queues, alive=True)
            return {
                "reason": None if count else message("no worker is alive"),
                "workers_count": count,
                "active_tasks": fleet.running_tasks(conn, caller.queues),
                "workers": workers_shown(conn, newest, caller),
            }

        return await self._read("workers", read, {"workers_count": 0, "active_tasks": 0, "workers": []})

    async def _scheduler(self) -> dict[str, Any]:
        def read(conn: Connection) -> dict[str, Any]:
            row = fleet.leader(conn)
            leads = row is not None and row["holds"]
            return {
                "reason": None if leads else message("no scheduler leads"),
                "leader": row["holder_name"] if row is not None and leads else None,
                "last_tick": None if row is None else row["ticked_at"],
            }

        return await self._read("scheduler", read, {"leader": None, "last_tick": None})

    async def _lost(self, caller: Caller) -> int | None:
        """Queued tasks that the leader found to be missing in Redis, of all queues; None where that is not known."""
        if caller.queues is not None:
            return None
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                return int(await self._client.get(self._names.lost) or 0)
        except (redis.RedisError, OSError, TimeoutError):
            return None

    async def _outbox(self, caller: Caller) -> dict[str, Any]:
        def read(conn: Connection) -> dict[str, Any]:
            row = fleet.outbox(conn)
            is_late = row["age"] is not None and row["age"] > _PUBLISHED_WITHIN
            told = caller.queues is None  # the numbers are of all queues
            return {
                "reason": message("waits for Redis or for a scheduler") if is_late else None,
                "pending": row["pending"] if told else None,
                "oldest_at": row["oldest_at"] if told else None,
            }

        return await self._read("outbox", read, {"pending": None, "oldest_at": None})

    async def _read(
        self, part: str, read: Callable[[Connection], dict[str, Any]], unknown: dict[str, Any]
    ) -> dict[str, Any]:
        """A part that is known from the ledger only; `unknown` is what is shown while that does not answer."""
        started = time.perf_counter()
        try:
            found = await self._parts.run(read)
        except Overloaded:
            raise
        except Exception as e:  # noqa: BLE001 - see above
            found = {"reason": message("unknown: the database does not answer"), **unknown}
            log.info("health_unknown", part=part, error=str(e))
        return {"status": UNHEALTHY if found["reason"] else HEALTHY, "latency_ms": _since(started), **found}

    async def _last_check(self, caller: Caller, words: Words) -> dict[str, Any] | None:
        """The findings of the newest `health.check` that succeeded or failed; None where the caller can see none."""
        started = time.perf_counter()
        try:
            row = await self._parts.run(fleet.last_check)
        except Overloaded:
            raise
        except Exception as e:  # noqa: BLE001 - see above
            log.info("health_unknown", part="last_check", error=str(e))
            return None
        if row is None or not caller.sees(row["queue"]):
            return None
        checks = {
            name: finding(check, TypeName("health.check", row["version"]), words)
            for name, check in (row["result"] or {}).get("checks", {}).items()
        }
        reasons = doubts(row["age"], row["state"], checks)
        return {
            "status": DEGRADED if reasons else HEALTHY,
            "latency_ms": _since(started),
            "reason": words.say(Series.of(reasons)) if reasons else None,
            "task_id": row["id"],
            "finished_at": row["finished_at"],
            "age_seconds": round(row["age"].total_seconds(), 1),
            "checks": checks,
        }


async def _ping(client: redis.asyncio.Redis) -> None:
    async with asyncio.timeout(_REDIS_SECONDS):
        await client.ping()


async def _has_no_room(client: redis.asyncio.Redis) -> bool:
    """False where Redis does not tell: some hosted ones refuse INFO."""
    try:
        async with asyncio.timeout(_REDIS_SECONDS):
            memory: dict[str, Any] = await client.info("memory")
    except (redis.RedisError, OSError, TimeoutError):
        return False
    return is_full(memory)


def is_full(memory: Mapping[str, Any]) -> bool:
    """By Redis's INFO memory."""
    if memory.get("maxmemory_policy") != "noeviction":
        return False  # it drops something else instead
    # Redis bounds its memory without the buffers of replicas and of the append-only file.
    used = memory.get("used_memory", 0) - memory.get("mem_not_counted_for_evict", 0)
    return bool(0 < memory.get("maxmemory", 0) <= used)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
