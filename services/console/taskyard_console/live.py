"""Live pages: each learns that something changed, and reads itself again. One subscription to the API's events serves
all pages of a key; with a key of the console's own, one serves all pages of the process."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from enum import Enum
from functools import partial

import structlog

from taskyard.backoff import Backoff
from taskyard_client.address import options_of
from taskyard_client.async_connection import AsyncConnection
from taskyard_client.calls import CHANGES_PATH
from taskyard_client.errors import ClientError
from taskyard_client.following import Watching
from taskyard_client.models import Change, Missed
from taskyard_client.retries import Retries

log = structlog.get_logger(__name__)

MAX_PAGES = 1_000
MAX_SUBSCRIPTIONS = 100
# A reader that goes from page to page is not to cost a subscription each time.
LINGER_SECONDS = 10.0
# A page reads itself again once a second at most, however much changes.
PAUSE_SECONDS = 1.0
# Proxies close connections on which nothing comes for a minute.
HEARTBEAT_SECONDS = 15.0
_RETRIES = Retries()
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0

Wanted = Callable[[Change], bool]


class TooManyPages(Exception):
    """So many pages are live already; this one does not update by itself."""


class Signal(Enum):
    CHANGED = "change"
    AWAY = "away"
    """The API does not tell of changes: what the page shows may be old."""


class Watch:
    """What one page has missed: something, or nothing. A slow page loses signals, and never costs memory."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        # What happened between the page and this was not told.
        self._changed = asyncio.Event()
        self._changed.set()
        self._is_away = False
        self.closed = False

    def tell(self, change: Change | Missed) -> None:
        if isinstance(change, Missed) or self._wanted(change):
            self._is_away = False
            self._changed.set()

    def away(self) -> None:
        self._is_away = True
        self._changed.set()

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    async def signals(self) -> AsyncGenerator[Signal | None]:
        """None where only time has passed; until the service stops."""
        while not self.closed:
            changed = await self._wait()
            self._changed.clear()
            yield None if not changed else Signal.AWAY if self._is_away else Signal.CHANGED
            if changed:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _wait(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._changed.wait()
        return self._changed.is_set()


class _Subscription:
    """The events that one key sees, for all pages that share it."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self.pages: set[Watch] = set()
        self._ends: asyncio.TimerHandle | None = None
        self._is_away = False
        self._task = asyncio.create_task(self._follow())

    def join(self, watch: Watch) -> None:
        self.pages.add(watch)
        if self._is_away:
            watch.away()
        if self._ends is not None:
            self._ends.cancel()

    def leave(self, watch: Watch, end: Callable[[], None]) -> None:
        """`end` is called once no page has been there for a while."""
        self.pages.discard(watch)
        if not self.pages:
            self._ends = asyncio.get_running_loop().call_later(LINGER_SECONDS, end)

    def cancel(self) -> asyncio.Task[None]:
        self._task.cancel()
        return self._task

    async def _follow(self) -> None:
        """For as long as there are pages, however long the API is away."""
        connection = AsyncConnection(options_of(self._url, self._key), _RETRIES, time.monotonic, asyncio.sleep)
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        try:
            while True:
                reader = _Telling(self.pages, backoff, self._connected)
                try:
                    async with aclosing(connection.stream(CHANGES_PATH, reader)) as changes:
                        async for change in changes:
                            if change is not None:
                                reader.tell(change)
                except ClientError as e:
                    log.warning("live_events_away", error=str(e))
                    self._is_away = True
                    for watch in self.pages:
                        watch.away()
                await asyncio.sleep(backoff.next())
        finally:
            await connection.close()

    def _connected(self) -> None:
        self._is_away = False


class Live:
    """`own_key`: the console's. It has to see the queues of all readers; without it each reader's key is used."""

    def __init__(self, url: str, own_key: str | None) -> None:
        self._url = url
        self._own_key = own_key
        self._subscriptions: dict[str, _Subscription] = {}
        self.closed = False

    @property
    def pages(self) -> int:
        # A copy: the thread that serves the metrics asks, too.
        return sum(len(one.pages) for one in [*self._subscriptions.values()])

    @contextmanager
    def watch(self, key: str, wanted: Wanted) -> Iterator[Watch]:
        """Raises TooManyPages."""
        used = self._own_key or key
        name = hashlib.sha256(used.encode()).hexdigest()
        subscription = self._subscriptions.get(name)
        if self.closed or self.pages >= MAX_PAGES:
            raise TooManyPages
        if subscription is None:
            if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
                raise TooManyPages
            subscription = self._subscriptions[name] = _Subscription(self._url, used)
        watch = Watch(wanted)
        subscription.join(watch)
        try:
            yield watch
        finally:
            subscription.leave(watch, partial(self._end, name))

    def close(self) -> None:
        """Ends every page's stream, because the service stops."""
        self.closed = True
        for subscription in self._subscriptions.values():
            for watch in subscription.pages:
                watch.close()

    async def stop(self) -> None:
        self.close()
        await asyncio.gather(*(one.cancel() for one in self._subscriptions.values()), return_exceptions=True)

    def _end(self, name: str) -> None:
        self._subscriptions.pop(name).cancel()


class _Telling(Watching):
    """Tells pages what it reads. What happened before a stream began was not told to anybody, so each beginning is."""

    def __init__(self, pages: set[Watch], backoff: Backoff, on_connected: Callable[[], None]) -> None:
        super().__init__(_RETRIES, time.monotonic)
        self._pages = pages
        self._backoff = backoff
        self._on_connected = on_connected

    def connected(self) -> None:
        super().connected()
        self._backoff.reset()
        self._on_connected()
        self.tell(Missed())

    def tell(self, change: Change | Missed) -> None:
        for watch in self._pages:
            watch.tell(change)
