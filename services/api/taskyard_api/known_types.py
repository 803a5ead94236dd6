"""The task types that workers have registered, as this process last read them from the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial

import redis
import redis.asyncio
import structlog

from taskyard.backoff import Backoff, spread
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.spec import TaskSpec
from taskyard.catalogue.words import Vocabulary
from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.store.task_types import Snapshot, read

from .ledger_pool import LedgerPool
from .patience import Patience, patience

log = structlog.stdlib.get_logger(__name__)

# Wake-ups may get lost, and the lease of a dead worker ends without one.
_READ_SECONDS = 5.0
_FRESH_SECONDS = 1.0
# An unanswered ping shows that the server has vanished.
_PING_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0


class KnownTypes:
    """A snapshot of the registry, read again at each wake-up and every few seconds. While PostgreSQL is away, the last
    one stands.

    `learn` is called on the event loop with each snapshot that has changed.
    """

    def __init__(
        self,
        ledger: LedgerPool,
        *,
        lease: timedelta,
        learn: Callable[[TypeRegistry], None] = lambda registry: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = TypeRegistry()
        self._ledger = ledger
        self._lease = lease
        self._learn = learn
        self._clock = clock
        self._snapshot = Snapshot({}, [])
        self._read_at = float("-inf")
        self._failure: tuple[float, LedgerUnavailable | Overloaded] | None = None
        self._due = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> TypeRegistry:
        """Reads the registry. Raises LedgerUnavailable, Overloaded."""
        async with self._one_at_a_time:
            return await self._look()

    async def fresh(self) -> TypeRegistry:
        """The registry, read at most a second ago. Raises LedgerUnavailable and Overloaded where a look is due, or
        failed less than a second ago."""
        # Callers that come together share one look, and its failure.
        async with patience().wait(), self._one_at_a_time:
            if self._clock() - self._read_at < _FRESH_SECONDS:
                return self.registry
            if self._failure is not None and self._clock() - self._failure[0] < _FRESH_SECONDS:
                raise self._failure[1]
            try:
                return await self._look()
            except (LedgerUnavailable, Overloaded) as e:
                self._failure = self._clock(), e
                raise

    def words_of(self, name: str, version: int) -> Vocabulary:
        """Those of a type as that version has them; none where nothing is known of it."""
        spec = self.registry.specs.get((name, version))
        return Vocabulary() if spec is None else spec.vocabulary

    async def specs_of(self, digests: Collection[str]) -> Mapping[str, TaskSpec]:
        """The specs that stand beside these digests in the ledger, without those that are refused. Raises
        LedgerUnavailable, Overloaded."""
        if not self._snapshot.specs.keys() | self._snapshot.refused >= set(digests):
            await self.look()  # some were registered a moment ago
        return self._snapshot.specs

    async def _look(self) -> TypeRegistry:
        began = self._clock()
        before = self._snapshot
        ask = partial(read, lease=self._lease, known=before.specs, refused=before.refused)
        # For all that wait for it: no request's place or time decides.
        snapshot = await self._ledger.run(ask, within=Patience(is_admitted=True))
        if snapshot != before:
            # Compiling may take seconds.
            compile_ = partial(TypeRegistry.compile, before=self.registry)
            registry = await asyncio.to_thread(compile_, snapshot.specs.values(), snapshot.live)
            for (name, version), reason in registry.refused.items():
                if (name, version) not in self.registry.refused:
                    log.warning("task_type_unusable", task_name=name, version=version, reason=reason)
            self.registry, self._snapshot = registry, snapshot
            self._learn(registry)
        self._read_at = began
        return self.registry

    async def keep_fresh(self) -> None:
        """Reads at the start, at each wake-up, and every few seconds, until it is cancelled."""
        while True:
            self._due.clear()
            try:
                await self.look()
            except (LedgerUnavailable, Overloaded):
                pass  # told by the parts that serve requests
            except Exception:
                log.exception("task_types_unread")
            with suppress(TimeoutError):
                async with asyncio.timeout(spread(_READ_SECONDS)):
                    await self._due.wait()

    async def listen(self, client: redis.asyncio.Redis, channel: str) -> None:
        """Takes wake-ups from Redis, until it is cancelled."""
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe(channel)
                    await self._take_wake_ups(pubsub, backoff)
            except (redis.RedisError, OSError):
                pass  # told by the parts that need Redis
            except Exception:
                log.exception("task_types_unheard")
            await asyncio.sleep(backoff.next())

    async def _take_wake_ups(self, pubsub: redis.asyncio.client.PubSub, backoff: Backoff) -> None:
        unanswered = False
        while True:
            message = await pubsub.get_message(timeout=_PING_SECONDS)
            if message is None:
                if unanswered:
                    raise redis.ConnectionError("no answer to a ping")
                unanswered = True
                await pubsub.ping()
                continue
            unanswered = False
            if message["type"] in {"message", "subscribe"}:  # what was said before the subscription is not sent
                backoff.reset()
                self._due.set()
