"""Maintenance of Redis: messages of dead consumers come back, and what belongs to nobody goes."""

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
from .metrics import SchedulerMetrics

log = structlog.stdlib.get_logger(__name__)

# Nobody waits for a wake-up longer than some seconds: a list that lay there this long is a dead child's.
_WAKE_IDLE_SECONDS = 600
_SEARCH_EVERY_SECONDS = 600.0
# Ids of a million messages are some 150 MB here: beyond that the search would harm more than it helps.
_SEARCH_AT_MOST = 1_000_000
_PAGE = 10_000

_DELETE_IF_IDLE = """
local idle = redis.call('object', 'idletime', KEYS[1])
if idle and idle >= tonumber(ARGV[1]) then return redis.call('del', KEYS[1]) end
return 0
"""


class Maintenance:
    """Dramatiq's own maintenance (it runs with each command of ours, workers have it switched off), and a
    search for payloads that no list leads to any more.

    After `silence` a consumer counts as gone, and what it had fetched goes to others. One that lives, and only waits
    for PostgreSQL with what it fetched, loses nothing but the race for the claim.
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
            # Any command will do: messages that a consumer fetched which has been silent for so long are
            # queued again.
            self._broker.do_qsize(queue)
        self._remove_wake_lists()
        self._search(queues)

    def search_soon(self) -> None:
        """After a restart of Redis: the end of its log may have been lost in the middle of a publication."""
        self._search_at = 0.0

    def _remove_wake_lists(self) -> None:
        for key in self._scan(self._names.wake_child("*")):
            self._delete_if_idle(keys=[key], args=[_WAKE_IDLE_SECONDS])

    def _search(self, queues: Iterable[str]) -> None:
        """Removes payloads that are neither in their queue's list nor with a consumer, at two searches
        running: nobody would ever be handed them, and reconcile would go on taking their tasks for known."""
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
        """Payloads first, lists afterwards: what moves on meanwhile is found in the later place. What a
        consumer takes from the list in between is missed where its set was read before; it is gone by the
        second search."""
        client: Any = self._client
        if client.hlen(self._names.messages(queue)) > _SEARCH_AT_MOST:
            return set()
        left = {key for key, _ in client.hscan_iter(self._names.messages(queue), count=_PAGE)}
        start = 0
        while left and (page := client.lrange(self._names.queue(queue), start, start + _PAGE - 1)):
            left.difference_update(page)
            # The head moves while we read: overlap, so that nothing slips between two pages.
            start += _PAGE // 2
        for key in acks:
            left.difference_update(client.smembers(key))
        return left

    def _scan(self, pattern: str) -> Iterator[bytes]:
        found: Iterator[bytes] = self._client.scan_iter(match=pattern, count=1000)
        yield from found


class BrokerWatch:
    """What Redis says of itself; `on_restart` is called where it says that it is another process."""

    def __init__(
        self, client: redis.Redis, metrics: SchedulerMetrics, *, on_restart: Callable[[], None] = lambda: None
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
            self._metrics.broker_up.set(0)
            raise
        self._metrics.broker_up.set(1)
        self._metrics.broker_memory.set(info["used_memory"])
        self._metrics.broker_max_memory.set(info["maxmemory"])
        evicted = int(info["evicted_keys"])
        restarted = self._run_id is not None and info["run_id"] != self._run_id
        # Redis counts from its start; a smaller count than before means that it began again.
        self._metrics.broker_evicted.inc(evicted if evicted < self._evicted else evicted - self._evicted)
        if evicted > self._evicted and self._run_id is not None:
            log.error("broker_evicts_keys", keys=evicted, policy=info.get("maxmemory_policy"))
        self._run_id, self._evicted = info["run_id"], evicted
        if restarted:
            log.warning("broker_restarted")
            self._on_restart()
