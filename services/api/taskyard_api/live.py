"""Live events: one Redis subscription for the whole process, fanned out to all clients that follow tasks.

A client that follows a task costs an entry in a dictionary: no thread, no connection. Messages are a convenience and
may get lost, so they only say that something happened: followers read the ledger. One query looks for changes of all
followed tasks: once a second while Redis is away, every ten seconds otherwise.

The process is subscribed while it has followers, and a little longer: receiving every change of a busy platform is
expensive. The first follower may therefore come before the subscription, and the other processes leave out changes that
nobody receives (`taskyard.broker.publisher`). Once Redis has confirmed the subscription, one query finds what happened
until then, and a second one what was still left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any
from uuid import UUID

import orjson
import redis
import redis.asyncio
import structlog

from taskyard.backoff import Backoff
from taskyard.broker.publisher import UNWATCHED_SECONDS
from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.domain.messages import message
from taskyard.domain.tasks import FINAL
from taskyard.store.reads import standings

from .followers import Feed, Follower, Watch
from .ledger_pool import LedgerPool

log = structlog.get_logger(__name__)

_CHECK_WHEN_AWAY_SECONDS = 1.0
_CHECK_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3.0
# An unanswered ping shows that the server has vanished.
_PING_SECONDS = 5.0
# How long the subscription outlives its last follower: clients often wait again soon.
_LINGER_SECONDS = 10.0
# Until every process has noticed that it is watched.
_NOTICED_SECONDS = UNWATCHED_SECONDS + 0.05
_FINAL = frozenset(map(str, FINAL))
MAX_WATCHES = 10_000


class Live:
    """The followers of this process, and the subscription that serves them."""

    def __init__(self, client: redis.asyncio.Redis, channel: str, ledger: LedgerPool) -> None:
        self._client = client
        self._channel = channel
        self._ledger = ledger
        self._watches: dict[str, set[Watch]] = {}
        self._count = 0
        self._feeds: set[Feed] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._followed = asyncio.Event()
        self._last_left_at = 0.0
        self._connected = asyncio.Event()
        self._was_away = False
        self.closed = False

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look_after())]

    def close(self) -> None:
        """Ends every stream and every wait, because the service stops."""
        self.closed = True
        for watch in self._all_watches():
            watch.close()
        for feed in self._feeds:
            feed.close()

    async def stop(self) -> None:
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(redis.RedisError, OSError):
            await self._client.aclose()

    @contextmanager
    def watch(self, task_id: UUID) -> Iterator[Watch]:
        """Follows a task, or all steps of a workflow, from here on. Raises Overloaded where too many follow."""
        watch, key = Watch(task_id), str(task_id)
        with self._following(watch):
            self._watches.setdefault(key, set()).add(watch)
            try:
                yield watch
            finally:
                followers = self._watches[key]
                followers.discard(watch)
                if not followers:
                    del self._watches[key]

    @contextmanager
    def feed(self, wanted: Callable[[dict[str, Any]], bool]) -> Iterator[Feed]:
        """Follows all tasks, from the moment that Redis sends their changes (`subscribed`). Raises Overloaded where
        there are too many followers."""
        feed = Feed(wanted)
        with self._following(feed):
            self._feeds.add(feed)
            try:
                yield feed
            finally:
                self._feeds.discard(feed)

    @contextmanager
    def _following(self, follower: Follower) -> Iterator[None]:
        if self._count >= MAX_WATCHES:
            raise Overloaded(message("Too many clients follow events."))
        self._count += 1
        self._followed.set()
        if self.closed:
            follower.close()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._followed.clear()
                self._last_left_at = time.monotonic()

    async def subscribed(self, timeout_seconds: float) -> bool:
        """Waits until Redis sends changes; False where that took too long. For callers that follow already."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._connected.wait()
        return self._connected.is_set()

    def _all_watches(self) -> list[Watch]:
        return [watch for followers in self._watches.values() for watch in followers]

    async def _listen(self) -> None:
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            await self._followed.wait()
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    await self._read(pubsub)
                    # Before the connection is returned: followers that come now wait for the next subscription.
                    self._connected.clear()
                continue
            except (redis.RedisError, OSError) as e:
                if self._connected.is_set():
                    log.warning("live_events_away", error=str(e))
            except Exception:
                log.exception("live_events_failed")
            self._was_away = True
            if self._connected.is_set():
                backoff.reset()
                self._connected.clear()
            await asyncio.sleep(backoff.next())

    async def _read(self, pubsub: Any) -> None:
        """Passes messages on, until there has been no follower for a while."""
        unanswered = False
        async with AsyncExitStack() as closing:
            while self._count or time.monotonic() - self._last_left_at < _LINGER_SECONDS:
                message = await pubsub.get_message(timeout=_PING_SECONDS)
                if message is None:
                    if unanswered:
                        raise redis.ConnectionError("no answer to a ping")
                    unanswered = True
                    await pubsub.ping()
                    continue
                unanswered = False
                if message["type"] == "message":
                    self._tell(message["data"])
                elif message["type"] == "subscribe":
                    await self._check()  # changes before the subscription are not sent
                    closing.callback(asyncio.create_task(self._be_noticed()).cancel)

    async def _be_noticed(self) -> None:
        """Until then, changes may have been left out."""
        await asyncio.sleep(_NOTICED_SECONDS)
        self._connected.set()
        if self._was_away:
            self._was_away = False
            for feed in self._feeds:
                feed.interrupt()
        await self._check()

    def _tell(self, data: bytes) -> None:
        if not self._watches and not self._feeds:
            return
        try:
            changes = orjson.loads(data)
            for change in changes:
                for watch in self._watches.get(change["task_id"], ()):
                    watch.tell(final=change["state"] in _FINAL)
                for watch in self._watches.get(change["workflow_id"], ()):
                    watch.tell(final=False)
                for feed in self._feeds:
                    feed.tell(change)
        except (ValueError, KeyError, TypeError):
            log.warning("live_event_unreadable")

    async def _look_after(self) -> None:
        while True:
            await self._followed.wait()
            await asyncio.sleep(_CHECK_SECONDS if self._connected.is_set() else _CHECK_WHEN_AWAY_SECONDS)
            try:
                await self._check()
            except Exception:
                log.exception("live_check_failed")

    async def _check(self) -> None:
        """One query for all watches; tells those whose task has changed since the last one."""
        if not self._watches:
            return
        ids = [UUID(key) for key in self._watches]
        try:
            found = await self._ledger.run(lambda conn: standings(conn, ids))
        except (LedgerUnavailable, Overloaded):
            return
        for watch in self._all_watches():
            standing = found.get(watch.task_id)
            # None: a failover or a restore lost the task, or it is a workflow. The follower reads it again.
            if standing is None or standing != watch.standing:
                watch.standing = standing
                watch.tell(final=standing is None or standing[0] in _FINAL)
