"""Maintenance of Redis: messages of dead consumers are queued again, and leftovers are removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import redis
import structlog
from dramatiq.brokers.redis import MAINTENANCE_SCALE, RedisBroker

from taskyard.broker.names import Names
from taskyard.store.fleet import queue_names

from .leader import Leadership
from .metrics import BrokerMetrics

log = structlog.stdlib.get_logger(__name__)

# A child waits for a wake-up for some seconds at most, so a list that has been idle for so long is a dead child's.
_WAKE_IDLE_SECONDS = 600
_SEARCH_EVERY_SECONDS = 600.0
# The ids of a million messages take some 150 MB here; the search of a longer queue would harm more than it helps.
_SEARCH_AT_MOST = 1_000_000
_PAGE = 10_000

_DELETE_IF_IDLE = """
local idle = redis.call('object', 'idletime', KEYS[1])
if idle and idle >= tonumber(ARGV[1]) then return redis.call('del', KEYS[1]) end
return 0
"""


class Maintenance:
    """Dramatiq's own maintenance, which runs with each command of this broker and is switched off in workers, and a
    search for payloads that are in no list any more.

    After `silence` a consumer counts as dead, and what it had fetched goes to others. A live one that waits for
    PostgreSQL only loses the race for the claim.
    """

    def __init__(
        self,
        leadership: Leadership,
        client: redis.Redis,
        names: Names,
        queues: Sequence[str],
        *,
        silence: timedelta = timedelta(seconds=20),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._client = client
        self._names = names
        self._configured = tuple(queues)
        self._clock = clock
        make_broker: Any = RedisBroker
        self._broker = make_broker(
            client=client,
            middleware=[],
            namespace=names.namespace,
            maintenance_chance=MAINTENANCE_SCALE,
            heartbeat_timeout=int(silence.total_seconds() * 1000),
        )
        self._delete_if_idle = client.register_script(_DELETE_IF_IDLE)
        self._search_at = 0.0
        self._stranded: set[tuple[str, bytes]] = set()

    def turn(self) -> None:
        queues = {*self._configured, *self._leadership.read(queue_names)}
        for queue in queues:
            # Any command starts maintenance, which queues the messages of silent consumers again.
            self._broker.do_qsize(queue)
        self._remove_wake_lists()
        self._search(queues)

    def search_soon(self) -> None:
        """To be called after a restart of Redis: the end of its log may be lost in the middle of a publication."""
        self._search_at = 0.0

    def _remove_wake_lists(self) -> None:
        for key in self._scan(self._names.wake_child("*")):
            self._delete_if_idle(keys=[key], args=[_WAKE_IDLE_SECONDS])

    def _search(self, queues: Iterable[str]) -> None:
        """Removes payloads that two searches in a row found neither in their queue's list nor with a consumer. No
        consumer would ever get them, and reconcile would go on taking their tasks for known."""
        due = self._clock() >= self._search_at
        if due:
            self._search_at = self._clock() + _SEARCH_EVERY_SECONDS
        found: set[tuple[str, bytes]] = set()
        for queue in queues:
            acks = [*self._scan(self._names.acks("*", queue))]
            if due or self._is_out_of_balance(queue, acks) or any(q == queue for q, _ in self._stranded):
                found |= {(queue, message_id) for message_id in self._payloads_without_list(queue, acks)}
        twice = found & self._stranded
        self._stranded = found - twice
        if twice and self._leadership.leading:
            log.warning("stranded_payloads_removed", messages=len(twice))
            pipe = self._client.pipeline(transaction=False)
            for queue, message_id in twice:
                pipe.hdel(self._names.messages(queue), message_id)
            pipe.execute()

    def _is_out_of_balance(self, queue: str, acks: Sequence[bytes]) -> bool:
        pipe = self._client.pipeline(transaction=True)
        pipe.hlen(self._names.messages(queue))
        pipe.llen(self._names.queue(queue))
        for key in acks:
            pipe.scard(key)
        payloads, *listed = pipe.execute()
        return bool(payloads > sum(listed))

    def _payloads_without_list(self, queue: str, acks: Sequence[bytes]) -> set[bytes]:
        """Payloads first, then lists, then consumers' sets: a message that moves on meanwhile is found in the later
        place. One that goes to a consumer whose set has been read is missed, and is gone by the second search."""
        client: Any = self._client
        if client.hlen(self._names.messages(queue)) > _SEARCH_AT_MOST:
            return set()
        left = {key for key, _ in client.hscan_iter(self._names.messages(queue), count=_PAGE)}
        start = 0
        while left and (page := client.lrange(self._names.queue(queue), start, start + _PAGE - 1)):
            left.difference_update(page)
            # The head moves meanwhile: pages overlap, so that no message slips between two of them.
            start += _PAGE // 2
        for key in acks:
            left.difference_update(client.smembers(key))
        return left

    def _scan(self, pattern: str) -> Iterator[bytes]:
        found: Iterator[bytes] = self._client.scan_iter(match=pattern, count=1000)
        yield from found


class BrokerInfo:
    """Exports what Redis reports of itself; `on_restart` is called when it reports another process."""

    def __init__(
        self, client: redis.Redis, metrics: BrokerMetrics, *, on_restart: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._on_restart = on_restart
        self._run_id: str | None = None
        self._evicted = 0

    def turn(self) -> None:
        try:
            info: dict[str, Any] = self._client.info("server", "memory", "stats")
        except redis.RedisError:
            self._metrics.up.set(0)
            raise
        self._metrics.up.set(1)
        self._metrics.memory.set(info["used_memory"])
        self._metrics.max_memory.set(info["maxmemory"])
        evicted = int(info["evicted_keys"])
        restarted = self._run_id is not None and info["run_id"] != self._run_id
        # Redis counts from its start; a smaller count than before means that it was restarted.
        self._metrics.evicted.inc(evicted if evicted < self._evicted else evicted - self._evicted)
        if evicted > self._evicted and self._run_id is not None:
            log.error("broker_evicts_keys", keys=evicted, policy=info.get("maxmemory_policy"))
        self._run_id, self._evicted = info["run_id"], evicted
        if restarted:
            log.warning("broker_restarted")
            self._on_restart()
