"""Hints from Redis that something in the ledger concerns this worker: they make it look at once.

A hint may be lost, doubled or made up. What counts is the ledger, at which every beat looks anyway.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import orjson
import redis
import structlog

from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names

log = structlog.stdlib.get_logger(__name__)

_WAIT_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 10.0


class Listener:
    """Follows the control channel in a thread of its own. `concerns` tells whether one of these task ids is
    ours; `look` has the ledger asked."""

    def __init__(
        self, url: str, names: Names, *, concerns: Callable[[Collection[str]], bool], look: Callable[[], None]
    ) -> None:
        self._client = make_redis(url)
        self._channel = names.control
        self._concerns = concerns
        self._look = look
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
                    pubsub.subscribe(self._channel)
                    pause = 0.0
                    self._look()  # for what was said while nobody listened
                    while not self._stopping.is_set():
                        if message := pubsub.get_message(timeout=_WAIT_SECONDS):
                            self._hear(message["data"])
            except redis.RedisError as e:
                log.debug("control_channel_lost", error=str(e))
            except Exception:
                log.exception("listener_failed")
            pause = min(max(0.5, pause * 2), _LONGEST_PAUSE_SECONDS)
            self._stopping.wait(pause * random.uniform(0.5, 1.0))

    def _hear(self, data: Any) -> None:
        with suppress(ValueError, TypeError, KeyError, AttributeError):  # not one of ours
            if self._concerns(orjson.loads(data)["cancel"]):
                self._look()
