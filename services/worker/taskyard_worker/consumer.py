"""The consumer: one a child, over Dramatiq's extension points (broker, consumer class).

Dramatiq starts a thread that iterates over what `consumer_class` makes for the one declared queue, `lanes`,
and puts each message on the work queue of its threads. Behind that iterator stands the `Lane`: it waits for
room, fetches from the real queues in weighted order, claims what it fetched in one update, acknowledges,
and hands on one message a claim. Whatever was fetched lives in the `Lane`, because Dramatiq throws its
consumer away after an error.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import redis
from dramatiq import Consumer, Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker

from taskyard.broker.messages import decode
from taskyard.broker.names import ACTOR, LANES, Names
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Change, State
from taskyard.lifecycle.claim import Claimed, Refusal

from .desk import Desk, Slot

log = logging.getLogger(__name__)

IDLE_SECONDS = 2.0
SWEEP_SECONDS = 30.0
PAUSED_SECONDS = 5.0
_EMPTY_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 2.0
_MAX_FETCH = 128


class LanesBroker(RedisBroker):
    """A RedisBroker whose worker has one consumer: that of the queue `lanes`, which exists in this process
    only."""

    lane: Lane

    def declare_queue(self, queue_name: str) -> None:
        """Without the delay queue: delays are kept by the ledger, and a second consumer would fetch past
        `Lane`."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        raise RuntimeError("tasks are submitted through the ledger, never enqueued here")

    @property
    def consumer_class(self) -> Callable[..., Consumer]:
        return lambda broker, queue_name, prefetch, timeout: LaneConsumer(broker.lane)


class LaneConsumer(Consumer):
    """What Dramatiq iterates over. Nothing is acknowledged here: that happened at the claim."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def __next__(self) -> MessageProxy | None:
        return self._lane.next_message()

    def ack(self, message: MessageProxy) -> None:
        pass

    def nack(self, message: MessageProxy) -> None:
        pass

    def requeue(self, messages: Any) -> None:
        """Claims that no thread took are released through the writer (`Desk.give_back`), not through
        Redis."""

    def close(self) -> None:
        pass


class Lane:
    """Fetches and claims for one child.

    `claim` asks the ledger (raises LedgerUnavailable) and `refusals` why something wasn't won; `put_off`
    moves tasks of unknown types into the future; `won` is told what was claimed.
    """

    def __init__(
        self,
        broker: RedisBroker,
        names: Names,
        desk: Desk,
        queues: Sequence[str],
        *,
        child: UUID,
        client: redis.Redis,
        waiter: redis.Redis,
        claim: Callable[[Sequence[UUID], UUID], list[Claimed]],
        refusals: Callable[[Sequence[UUID]], list[Refusal]],
        put_off: Callable[[Sequence[UUID]], None],
        won: Callable[[Sequence[Change], Sequence[Claimed]], None],
    ) -> None:
        self._broker = broker
        self._names = names
        self._desk = desk
        self._queues = tuple(queues)
        self._client = client
        self._waiter = waiter
        self._wake_key = names.wake_child(child)
        self._wake_keys = [self._wake_key, *(names.wake(q) for q in queues)]
        self._queue_of_key = {names.wake(q).encode(): q for q in queues}
        self._claim = claim
        self._refusals = refusals
        self._put_off = put_off
        self._won = won
        self._ready: deque[MessageProxy] = deque()
        self._fetched: dict[str, str] = {}  # Redis id -> queue, from the fetch until it is acknowledged
        self._empty_until: dict[str, float] = {}
        self._paused_until: dict[str, float] = {}
        self._swept = time.monotonic()
        self._pause = 0.0
        self._draining = threading.Event()
        self.polled = time.monotonic()

    # The iterator

    def next_message(self) -> MessageProxy | None:
        """The next claimed task, or None after a while without one. Raises nothing: Dramatiq would throw its
        consumer away and pause for three seconds."""
        if self._ready:
            return self._ready.popleft()
        self.polled = time.monotonic()
        if self._draining.is_set():
            time.sleep(0.2)
            return None
        try:
            self._step()
        except redis.RedisError as e:
            self._swept = 0.0  # an answer may have been lost, and messages with it
            self._rest("broker_unavailable", e)
        except Exception as e:
            log.exception("consumer_failed")
            self._rest("consumer_failed", e)
        return self._ready.popleft() if self._ready else None

    def _step(self) -> None:
        room = self._desk.wait_for_room(self._queues, 0.5)
        if not room or self._draining.is_set():
            return
        if time.monotonic() - self._swept >= SWEEP_SECONDS:
            self._sweep()
        fetched = self._fetch(min(room, _MAX_FETCH), self._order())
        if not fetched:
            woken = self._idle()
            if self._draining.is_set():
                return
            # Nothing in particular woke us: look everywhere, in case a wake-up got lost.
            fetched = self._fetch(min(room, _MAX_FETCH), [woken] if woken else list(self._queues))
        if fetched:
            self._take(fetched)
        if self._pause:
            log.info("broker_recovered")
            self._pause = 0.0

    # Fetching

    def _order(self) -> list[str]:
        """The queues that may have something, the first named most often first: each takes the lead in
        proportion to its weight (3 to 1 between neighbours), so that no queue starves."""
        now = time.monotonic()
        open_ones = [
            (random.random() ** (1.0 / 3.0 ** (len(self._queues) - n)), q)
            for n, q in enumerate(self._queues)
            if self._empty_until.get(q, 0) <= now
        ]
        return [q for _, q in sorted(open_ones, reverse=True)]

    def _fetch(self, room: int, queues: Sequence[str]) -> dict[UUID, tuple[str, str]]:
        """Takes up to `room` messages: task id -> (queue, Redis id)."""
        found: dict[UUID, tuple[str, str]] = {}
        now = time.monotonic()
        for queue in queues:
            if len(found) >= room:
                break
            if self._paused_until.get(queue, 0) > now:
                continue
            wanted = room - len(found)
            payloads = self._broker.do_fetch(queue, wanted)
            if len(payloads) < wanted:
                self._empty_until[queue] = now + _EMPTY_SECONDS
            for payload in payloads:
                if payload is None:  # its payload is gone: acknowledged before, or lost
                    continue
                try:
                    task_id, message_id = decode(payload)
                except ValueError as e:
                    log.warning("message_undecodable queue=%s error=%s", queue, e)
                    continue
                self._fetched[message_id] = queue
                if task_id in found:
                    self._acknowledge([found[task_id]])
                found[task_id] = (queue, message_id)
        return found

    def _idle(self) -> str | None:
        """Waits for a wake-up; returns the queue it was for."""
        answer: Any = self._waiter.blpop(self._wake_keys, timeout=IDLE_SECONDS)
        self._empty_until.clear()
        return self._queue_of_key.get(answer[0]) if answer else None

    # Claiming

    def _take(self, fetched: dict[UUID, tuple[str, str]]) -> None:
        ids = list(fetched)
        claim = uuid4()
        slots = self._desk.enter(ids, claim)
        won = self._claim_patiently(ids, claim)
        if won is None:
            # Shutting down while PostgreSQL is away. If a claim did get through, the rows are released when
            # the supervisor finds that nobody holds them.
            self._desk.settle(slots, [])
            self._requeue(list(fetched.values()))
            return
        kept = self._desk.settle(slots, won)
        if len(won) < len(ids):
            self._explain(ids, won, fetched)
        if won:
            self._won([_running(w) for w in won], won)
            self._ready.extend(_message(slot) for slot in kept)
        self._acknowledge(list(fetched.values()))

    def _claim_patiently(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed] | None:
        """Claims in place until PostgreSQL answers, with the same claim id: an answer that got lost is
        found again."""
        pause = 0.05
        while True:
            try:
                return self._claim(ids, claim)
            except LedgerUnavailable as e:
                log.warning("ledger_unavailable what=claim error=%s", e)
            except Exception:
                log.exception("claim_failed")
            self.polled = time.monotonic()
            if self._draining.wait(pause * random.uniform(0.5, 1.0)):
                return None
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _explain(
        self, ids: Sequence[UUID], won: Sequence[Claimed], fetched: dict[UUID, tuple[str, str]]
    ) -> None:
        """Keeps messages of paused queues in Redis and puts off what nobody here can run; the rest is done,
        cancelled or delivered twice, and its message is simply acknowledged."""
        have = {w.id for w in won}
        try:
            refusals = self._refusals([i for i in ids if i not in have])
        except LedgerUnavailable:
            return  # acknowledged all the same: the rows are queued, reconcile publishes them again
        if paused := [r for r in refusals if r.reason == "paused"]:
            for queue in {r.queue for r in paused}:
                self._paused_until[queue] = time.monotonic() + PAUSED_SECONDS
            self._requeue([fetched.pop(r.id) for r in paused])
        if unknown := [r.id for r in refusals if r.reason == "unknown"]:
            log.warning("task_type_unknown tasks=%d", len(unknown))
            self._put_off(unknown)

    # Redis bookkeeping

    def _acknowledge(self, messages: Sequence[tuple[str, str]]) -> None:
        """Forgets messages in one round trip, as Dramatiq's own `ack` does one by one."""
        pipe = self._client.pipeline(transaction=False)
        for queue, ids in _by_queue(messages).items():
            pipe.srem(self._names.acks(self._broker.broker_id, queue), *ids)
            pipe.hdel(self._names.messages(queue), *ids)
        pipe.execute()
        for _, message_id in messages:
            self._fetched.pop(message_id, None)

    def _requeue(self, messages: Sequence[tuple[str, str]]) -> None:
        try:
            for queue, ids in _by_queue(messages).items():
                self._broker.do_requeue(queue, *ids)
        except redis.RedisError as e:
            log.warning("requeue_failed messages=%d error=%s", len(messages), e)
        for _, message_id in messages:
            self._fetched.pop(message_id, None)

    def _sweep(self) -> None:
        """Requeues what Redis counts as fetched by us and we don't know of: the answer to a fetch got
        lost."""
        self._swept = time.monotonic()
        for queue in self._queues:
            members: Any = self._client.smembers(self._names.acks(self._broker.broker_id, queue))
            strangers = [m.decode() for m in members if m.decode() not in self._fetched]
            if not strangers:
                continue
            payloads: Any = self._client.hmget(self._names.messages(queue), strangers)
            hopeless = [
                (queue, i) for i, p in zip(strangers, payloads, strict=True) if p is None or not _ours(p)
            ]
            if hopeless:
                self._acknowledge(hopeless)
            good = [(queue, i) for i in strangers if (queue, i) not in set(hopeless)]
            if good:
                log.warning("messages_requeued queue=%s messages=%d", queue, len(good))
                self._requeue(good)

    def _rest(self, event: str, error: Exception) -> None:
        first = not self._pause
        self._pause = min(max(0.1, self._pause * 2), _LONGEST_PAUSE_SECONDS)
        if first:
            log.warning("%s error=%s", event, error)
        self._draining.wait(self._pause * random.uniform(0.5, 1.0))

    # Stopping

    def drain(self) -> None:
        """Fetch no more. Ends a wait for a wake-up that is under way."""
        self._draining.set()
        self._desk.notify()
        try:
            pipe = self._client.pipeline(transaction=False)
            pipe.lpush(self._wake_key, "1")
            pipe.expire(self._wake_key, 10)
            pipe.execute()
        except redis.RedisError:
            pass  # the wait ends by itself within two seconds


def _running(work: Claimed) -> Change:
    return Change(work.id, work.name, work.queue, State.RUNNING, work.attempt, work.workflow_id)


def _message(slot: Slot) -> MessageProxy:
    """The message for Dramatiq's threads; it never leaves this process, so it carries the slot itself."""
    return MessageProxy(Message(queue_name=LANES, actor_name=ACTOR, args=(slot,), kwargs={}, options={}))


def _by_queue(messages: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for queue, message_id in messages:
        grouped[queue].append(message_id)
    return grouped


def _ours(payload: bytes) -> bool:
    try:
        decode(payload)
    except ValueError:
        return False
    return True
