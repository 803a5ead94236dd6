"""Hints from Redis that something in the ledger concerns this worker. They make it look at once.

A hint may be lost, doubled or made up: only what the ledger says counts, and every heartbeat looks there anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID

import orjson
import redis
import structlog

from taskyard.backoff import Backoff
from taskyard.broker.connect import make_redis
from taskyard.broker.names import Names

log = structlog.stdlib.get_logger(__name__)

_WAIT_SECONDS = 2.0


class Identity(Protocol):
    """What counts of the `Registration`."""

    @property
    def worker_id(self) -> UUID: ...


class Listener:
    """Follows the control channel in a thread of its own. `concerns` tells whether a child has one of these tasks;
    `look` has the ledger asked; `pass_on` tells the children what to do with which queues."""

    def __init__(
        self,
        url: str,
        names: Names,
        worker: Identity,
        *,
        concerns: Callable[[Collection[str]], bool],
        look: Callable[[], None],
        pass_on: Callable[[str, list[str]], None],
    ) -> None:
        self._client = make_redis(url)
        self._channel = names.control
        self._worker = worker
        self._concerns = concerns
        self._look = look
        self._pass_on = pass_on
        self._backoff = Backoff(0.5, 10.0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except redis.RedisError as e:
                log.debug("control_channel_lost", error=str(e))
            except Exception:
                log.exception("listener_failed")
            self._stopping.wait(self._backoff.next())

    def _listen(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(self._channel)
            self._backoff.reset()
            self._look()  # for the hints that came before the subscription
            while not self._stopping.is_set():
                if message := pubsub.get_message(timeout=_WAIT_SECONDS):
                    self._handle_hint(message["data"])

    def _handle_hint(self, data: Any) -> None:
        with suppress(ValueError, TypeError, KeyError, AttributeError):  # not a hint of ours
            match orjson.loads(data):
                case {"cancel": tasks} if self._concerns(tasks):
                    self._look()
                case {"workers": list(workers)} if str(self._worker.worker_id) in workers:
                    self._look()
                case {"resume": list(queues)}:
                    self._pass_on("resume", _names(queues))
                    self._look()  # what has to run apart may wait in them, too
                case {"recall": list(queues)}:
                    self._pass_on("recall", _names(queues))


def _names(queues: list[Any]) -> list[str]:
    return [queue for queue in queues if isinstance(queue, str)]
