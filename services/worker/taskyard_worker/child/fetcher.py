"""The fetcher: a child's messages in Redis, from the fetch to the acknowledgement.

It remembers nothing between two fetches, because the consumer deals with what it fetched before it fetches again. So
whatever Redis counts as fetched by this child when `sweep` looks was stranded by an error or a lost answer, and goes
back to its queue. A task that was claimed all the same is not won a second time.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import redis
import structlog
from dramatiq.brokers.redis import RedisBroker

from taskyard.broker.messages import decode
from taskyard.broker.names import Names
from taskyard.broker.publisher import WAKE_TOKENS

from .lanes import Lanes

log = structlog.stdlib.get_logger(__name__)

IDLE_SECONDS = 2.0
SWEEP_SECONDS = 30.0
_EMPTY_SECONDS = 1.0
_LOOK_ABOVE_SECONDS = 0.02
_WAKE_KEY_SECONDS = 10

# A full Redis refuses Dramatiq's fetch, because that notes down who fetched, and could never be emptied. This script
# only removes. What is lost before its claim, the scheduler's reconcile publishes again.
_TAKE = """
local taken = {}
for i = 1, tonumber(ARGV[1]) do
    local id = redis.call('lpop', KEYS[1])
    if not id then break end
    taken[i] = redis.call('hget', KEYS[2], id)
    redis.call('hdel', KEYS[2], id)
end
return taken
"""

# To the head of the queue, in their order: Dramatiq's own `requeue` sends them to its end.
_PUT_BACK = """
for i = #ARGV, 1, -1 do
    if redis.call('srem', KEYS[2], ARGV[i]) > 0 then redis.call('lpush', KEYS[1], ARGV[i]) end
end
"""

Message = tuple[str, str]  # queue, id in Redis
Messages = Mapping[UUID, Sequence[Message]]  # of each task: several where it was delivered more than once


class FetchingBroker(RedisBroker):
    """Dramatiq's broker as the fetcher uses it: it fetches and requeues under `fetcher_id`, and leaves maintenance to
    the leader."""

    def __init__(self, client: redis.Redis, names: Names, fetcher_id: str) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            client=client, namespace=names.namespace, middleware=[], maintenance_chance=0
        )
        self.broker_id = fetcher_id


class Fetcher:
    """Raises redis.RedisError wherever Redis does not answer. Used by one thread, apart from `wake` and `reopen`.

    `lower_share`: see `Lanes`."""

    def __init__(
        self, client: redis.Redis, names: Names, queues: Sequence[str], fetcher_id: str, *, lower_share: float = 0.1
    ) -> None:
        self._broker = FetchingBroker(client, names, fetcher_id)
        self._names = names
        self.queues = tuple(queues)
        self._lanes = Lanes(queues, lower_share)
        self._client = client
        self._take = client.register_script(_TAKE)
        self._put_back = client.register_script(_PUT_BACK)
        self._wake_key = names.wake_child(uuid4())
        self._queue_of_key = {names.wake(q).encode(): q for q in queues}
        self._empty_until: dict[str, float] = {}
        self._closed_until = dict.fromkeys(self.queues, 0.0)  # paused, or left to others
        self._reopened_at = dict.fromkeys(self.queues, -math.inf)
        self._looked_above = -math.inf
        self._swept = time.monotonic()

    def open_queues(self) -> list[str]:
        """The queues that may have something, in the order in which they are named."""
        now = time.monotonic()
        return [q for q in self.queues if not self._is_shut(q, now)]

    def look_above(self, queues: Collection[str]) -> bool:
        """Whether something has come to a queue that was empty and is named before one of these. Such a queue is open
        again. Asks Redis every 20 ms at most."""
        now = time.monotonic()
        last = max((self.queues.index(q) for q in queues), default=0)
        empty = [q for q in self.queues[:last] if q not in queues and self._closed_until[q] <= now]
        if not empty or now - self._looked_above < _LOOK_ABOVE_SECONDS:
            return False
        self._looked_above = now
        pipe = self._client.pipeline(transaction=False)
        for queue in empty:
            pipe.llen(self._names.queue(queue))
        found = [queue for queue, waiting in zip(empty, pipe.execute(), strict=True) if waiting]
        for queue in found:
            self._empty_until.pop(queue, None)
        return bool(found)

    def fetch(self, room: int, queues: Iterable[str]) -> dict[UUID, list[Message]]:
        """Takes messages of up to `room` tasks from those of these queues that are open, as `Lanes` has it."""
        found: dict[UUID, list[Message]] = defaultdict(list)
        for queue, most in self._lanes.turns(set(queues), room):
            before, is_empty = len(found), False
            # Fetched again where some messages were useless: more may wait behind them.
            while (wanted := min(room, before + most) - len(found)) > 0 and not self._is_shut(queue, time.monotonic()):
                payloads = self._fetch(queue, wanted)
                for payload in payloads:
                    if payload is None:  # acknowledged before, or lost
                        self.doubt()  # Redis counts its id as fetched all the same, until `sweep` removes it
                        continue
                    try:
                        task_id, message_id = decode(payload)
                    except ValueError as e:
                        log.warning("message_undecodable", queue=queue, error=str(e))
                        continue
                    found[task_id].append((queue, message_id))
                if is_empty := len(payloads) < wanted:
                    self._empty_until[queue] = time.monotonic() + _EMPTY_SECONDS
            self._lanes.took(queue, len(found) - before, waiting=self.open_queues())
            if is_empty:
                self._lanes.is_empty(queue)
        return found

    def _fetch(self, queue: str, wanted: int) -> list[bytes | None]:
        try:
            payloads: Any = self._broker.do_fetch(queue, wanted)
        except redis.OutOfMemoryError:
            payloads = self._take(keys=[self._names.queue(queue), self._names.messages(queue)], args=[wanted])
            if payloads:
                log.warning("taken_from_a_full_broker", queue=queue, messages=len(payloads))
        return list(payloads)

    def _is_shut(self, queue: str, now: float) -> bool:
        return max(self._empty_until.get(queue, 0.0), self._closed_until[queue]) > now

    def close(self, queue: str, seconds: float, *, since: float = math.inf) -> None:
        """Does not ask the queue for so long, nor take its wake-ups: it is paused, or has work for others. Not where it
        was reopened after `since`, the time at which that was still so."""
        self._closed_until[queue] = time.monotonic() + seconds
        if self._reopened_at.get(queue, -math.inf) >= since:  # a task may have been moved to a queue of others
            self._closed_until[queue] = 0.0

    def reopen(self, queues: Iterable[str]) -> None:
        """They were resumed. From another thread."""
        for queue in set(queues).intersection(self.queues):
            self._reopened_at[queue] = time.monotonic()
            self._closed_until[queue] = 0.0
        self.wake()

    def wait(self) -> str | None:
        """Waits for a wake-up, two seconds at most, or until a queue is no longer closed; returns the queue it was for.
        Empty queues are open again afterwards, closed ones are not."""
        now = time.monotonic()
        closed = {q: until - now for q, until in self._closed_until.items() if until > now}
        keys = [self._wake_key, *(self._names.wake(q) for q in self.queues if q not in closed)]
        # 0 would make BLPOP wait for ever.
        answer: Any = self._client.blpop(keys, timeout=max(0.01, min([IDLE_SECONDS, *closed.values()])))
        self._empty_until.clear()
        return self._queue_of_key.get(answer[0]) if answer else None

    def wake(self) -> None:
        """Ends a wait that is under way, from another thread."""
        pipe = self._client.pipeline(transaction=False)
        pipe.lpush(self._wake_key, "1")
        pipe.expire(self._wake_key, _WAKE_KEY_SECONDS)
        pipe.execute()

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Removes messages from Redis, all in one round trip; Dramatiq's own `ack` needs one each."""
        pipe = self._client.pipeline(transaction=False)
        for queue, ids in _by_queue(messages).items():
            pipe.srem(self._names.acks(self._broker.broker_id, queue), *ids)
            pipe.hdel(self._names.messages(queue), *ids)
        pipe.execute()

    def requeue(self, messages: Iterable[Message]) -> None:
        """Puts messages back at the end of their queues."""
        for queue, ids in _by_queue(messages).items():
            self._broker.do_requeue(queue, *ids)

    def put_back(self, messages: Iterable[Message]) -> None:
        """Puts messages back at the head of their queues, and wakes no other child."""
        for queue, ids in _by_queue(messages).items():
            self._put_back(keys=[self._names.queue(queue), self._names.acks(self._broker.broker_id, queue)], args=ids)

    def hand_on(self, messages: Iterable[Message]) -> None:
        """Requeues messages, with a wake-up for a child that waits."""
        kept = list(messages)
        self.requeue(kept)
        for queue in {queue for queue, _ in kept}:
            pipe = self._client.pipeline(transaction=False)
            pipe.lpush(self._names.wake(queue), "1")
            pipe.ltrim(self._names.wake(queue), 0, WAKE_TOKENS - 1)
            pipe.execute()

    def doubt(self) -> None:
        """After an error, which may have stranded messages: the next `sweep` looks."""
        self._swept = -math.inf

    def sweep(self) -> None:
        """Every 30 s and after an error, requeues what was stranded."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        if self.requeue_stranded():
            self._swept = time.monotonic()

    def requeue_stranded(self) -> bool:
        """Requeues all that counts as fetched, with a wake-up. False where a full Redis has no room for that."""
        for queue in self.queues:
            members: Any = self._client.smembers(self._names.acks(self._broker.broker_id, queue))
            if not members:
                continue
            stranded = [m.decode(errors="replace") for m in members]
            payloads: Any = self._client.hmget(self._names.messages(queue), list(members))
            good = {i for i, p in zip(stranded, payloads, strict=True) if p is not None and _is_ours(p, i)}
            if good:
                try:
                    self.requeue((queue, i) for i in good)
                except redis.OutOfMemoryError:
                    return False  # they stay where they are until there is room; fetching makes some
                self._client.lpush(self._names.wake(queue), "1")  # for a child that waits by now
                log.warning("messages_requeued", queue=queue, messages=len(good))
            self._client.srem(self._names.acks(self._broker.broker_id, queue), *members)
            if hopeless := [m for m, i in zip(members, stranded, strict=True) if i not in good]:
                self._client.hdel(self._names.messages(queue), *hopeless)
        return True


def requeue_fetched(client: redis.Redis, names: Names, queues: Sequence[str], fetcher_id: str) -> None:
    """Puts back what a dead child had fetched and not acknowledged, for other children to take at once. What it had
    claimed is not won a second time. Where Redis does not answer, the scheduler's maintenance does it later."""
    try:
        Fetcher(client, names, queues, fetcher_id).requeue_stranded()
    except redis.RedisError as e:
        log.warning("inbox_not_salvaged", error=str(e))


def _by_queue(messages: Iterable[Message]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for queue, message_id in messages:
        grouped[queue].append(message_id)
    return grouped


def _is_ours(payload: bytes, message_id: str) -> bool:
    try:
        return decode(payload)[1] == message_id
    except ValueError:
        return False
