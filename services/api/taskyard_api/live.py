"""Live events: one Redis subscription for the whole process, fanned out to all clients that follow tasks.

A client that follows a task costs an entry in a dictionary: no thread, no connection. Messages are a convenience and
may get lost, so they only say that something happened: followers read the ledger. One query looks for changes of all
followed tasks: once a second while Redis is away, every ten seconds otherwise.

The process is subscribed while it has followers, and a little longer: receiving every change of a busy platform is
expensive. The first follower may therefore come before the subscription. Once Redis has confirmed that, one query finds
what happened until then.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import orjson
import redis
import redis.asyncio
import structlog

from taskyard.backoff import Backoff
from taskyard.domain.errors import LedgerUnavailable, Overloaded
from taskyard.domain.messages import message
from taskyard.domain.tasks import FINAL
from taskyard.store.reads import standings

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
_FINAL = frozenset(map(str, FINAL))
MAX_WATCHES = 10_000
MAX_BACKLOG = 1_000


class _Follower:
    """Changes between two calls of `changed` wake it once, however many they are."""

    __slots__ = ("_event", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._event = asyncio.Event()

    def close(self) -> None:
        self.closed = True
        self._event.set()

    async def changed(self, timeout_seconds: float) -> bool:
        """Waits for a change since the last call; False where none came in time."""
        if not self._event.is_set():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True


class Watch(_Follower):
    """A follower of one task, or of one workflow."""

    __slots__ = ("is_final", "standing", "task_id")

    def __init__(self, task_id: UUID) -> None:
        super().__init__()
        self.task_id = task_id
        self.is_final = False
        self.standing: tuple[Any, ...] | None = None

    def tell(self, *, final: bool) -> None:
        self.is_final = final
        self._event.set()


class Feed(_Follower):
    """A follower of all tasks. A slow reader loses the oldest changes and learns how many."""

    __slots__ = ("_wanted", "changes", "lost")

    def __init__(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        super().__init__()
        self._wanted = wanted
        self.changes: deque[dict[str, Any]] = deque()
        self.lost = 0

    def tell(self, change: dict[str, Any]) -> None:
        if not self._wanted(change):
            return
        if len(self.changes) >= MAX_BACKLOG:
            self.changes.popleft()
            self.lost += 1
        self.changes.append(change)
        self._event.set()


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
    def _following(self, follower: _Follower) -> Iterator[None]:
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
            if self._connected.is_set():
                backoff.reset()
                self._connected.clear()
            await asyncio.sleep(backoff.next())

    async def _read(self, pubsub: Any) -> None:
        """Passes messages on, until there has been no follower for a while."""
        unanswered = False
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
                self._connected.set()
                # Changes before the subscription are not sent.
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
