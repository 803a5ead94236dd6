"""The consumer: one a child, over Dramatiq's extension points (broker, consumer class).

Dramatiq starts a thread that iterates over what `consumer_class` makes for the one declared queue, `lanes`,
and puts each message on the work queue of its threads. Behind that iterator stands the `Lane`: it waits for
room, fetches from the real queues in weighted order, claims what it fetched in one update, acknowledges,
and hands on one message a claim. Whatever was fetched lives in the `Lane`, because Dramatiq throws its
consumer away after an error.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID, uuid4

import redis
import structlog
from dramatiq import Consumer, Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker

from taskyard.broker.names import ACTOR, LANES
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Change, State
from taskyard.failpoints import failpoint
from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard.telemetry.metrics import Dependency

from .desk import Desk, Slot
from .inbox import Inbox, Letter, Letters

log = structlog.stdlib.get_logger(__name__)

PAUSED_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 2.0
_MAX_FETCH = 128


class Source(Protocol):
    """Where a consumer's messages come from: `Lane`, or `quarantine.QuarantineLane`."""

    def next_message(self) -> MessageProxy | None: ...


class LanesBroker(RedisBroker):
    """A RedisBroker whose worker has one consumer: that of the queue `lanes`, which exists in this process
    only."""

    lane: Source

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

    def __init__(self, lane: Source) -> None:
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
    moves tasks of unknown types into the future; `give_up` ends a claim that cannot be read; `won` is told what was
    claimed, `suspected` that something has to run alone.
    """

    def __init__(
        self,
        inbox: Inbox,
        desk: Desk,
        queues: Sequence[str],
        *,
        claim: Callable[[Sequence[UUID], UUID], list[Claimed]],
        refusals: Callable[[Sequence[UUID]], list[Refusal]],
        put_off: Callable[[Sequence[UUID]], None],
        give_up: Callable[[UUID, UUID, Exception], None],
        won: Callable[[Sequence[Change], Sequence[Claimed]], None],
        suspected: Callable[[], None] = lambda: None,
        broker: Dependency | None = None,
    ) -> None:
        self._inbox = inbox
        self._desk = desk
        self._queues = tuple(queues)
        self._claim = claim
        self._refusals = refusals
        self._put_off = put_off
        self._give_up = give_up
        self._won = won
        self._suspected = suspected
        self._broker = broker
        self._ready: deque[MessageProxy] = deque()
        self._pause = 0.0
        self._draining = threading.Event()
        self._drained = threading.Event()
        self.polled = self.fetched = time.monotonic()

    # The iterator

    def next_message(self) -> MessageProxy | None:
        """The next claimed task, or None after a while without one. Raises nothing: Dramatiq would throw its
        consumer away and pause for three seconds."""
        if self._ready:
            return self._ready.popleft()
        self.polled = time.monotonic()
        if self._draining.is_set():
            self._drained.set()
            time.sleep(0.2)
            return None
        try:
            self._step()
        except redis.RedisError as e:
            if self._broker is not None:
                self._broker.failed(e)
            self._rest("broker_unavailable", e)
        except LedgerUnavailable as e:
            self._rest("ledger_unavailable", e)
        except Exception as e:
            log.exception("consumer_failed")
            self._rest("consumer_failed", e)
        return self._ready.popleft() if self._ready else None

    def _step(self) -> None:
        queues = self._inbox.open_queues()
        room = self._desk.wait_for_room(queues or self._queues, 0.5)
        if not room or self._draining.is_set():
            self.fetched = time.monotonic()  # nothing is wanted, so nothing is missing
            return
        self._inbox.sweep()
        fetched = self._inbox.fetch(min(room, _MAX_FETCH), queues)
        self.fetched = time.monotonic()
        if self._broker is not None:
            self._broker.answered()
        if not fetched:
            woken = self._inbox.wait()
            if self._draining.is_set():
                return
            # Nothing in particular woke us: look everywhere, in case a wake-up got lost.
            queues = [woken] if woken else list(self._queues)
            fetched = self._inbox.fetch(min(self._desk.room(queues), _MAX_FETCH), queues)
        if fetched:
            self._take(fetched)
        if self._pause:
            log.info("consumer_recovered")
            self._pause = 0.0

    def _take(self, fetched: Letters) -> None:
        ids = list(fetched)
        claim = uuid4()
        slots = self._desk.enter(ids, claim)
        failpoint("claim.before")
        won = self._claim_patiently(ids, claim)
        failpoint("claim.after")
        if won is None:
            # Shutting down while PostgreSQL is away. If a claim did get through, the rows are released when
            # the supervisor finds that nobody holds them.
            self._desk.settle(slots, [])
            self._inbox.requeue(_all(fetched))
            return
        # From here on they are handed on, whatever goes wrong with the rest.
        self._ready.extend(message_of(slot) for slot in self._desk.settle(slots, won))
        if won:
            self._won([running(w) for w in won], won)
        kept = self._explain(ids, won) if len(won) < len(ids) else set()
        failpoint("acknowledge.before")
        self._inbox.acknowledge(_all({i: letters for i, letters in fetched.items() if i not in kept}))
        failpoint("acknowledge.after")
        if kept:
            self._inbox.requeue(_all({i: fetched[i] for i in kept}))

    def _claim_patiently(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed] | None:
        """Claims in place until PostgreSQL answers, with the same claim id: an answer that got lost is
        found again."""
        pause = 0.05
        claim_them = self._claim
        while True:
            try:
                return claim_them(ids, claim)
            except LedgerUnavailable as e:
                log.warning("ledger_unavailable", what="claim", error=str(e))
                self.polled = time.monotonic()  # waiting for PostgreSQL is not being stuck
            except Exception:
                log.exception("claim_failed")
                claim_them = self._claim_apart
            if self._draining.wait(pause * random.uniform(0.5, 1.0)):
                return None
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _claim_apart(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        """Claims half by half until a task that cannot be read stands alone; that one fails, the others run."""
        try:
            return self._claim(ids, claim)
        except LedgerUnavailable:
            raise
        except Exception as e:
            if len(ids) == 1:
                log.exception("claim_unreadable", task_id=str(ids[0]))
                self._give_up(ids[0], claim, e)
                return []
        half = len(ids) // 2
        return [*self._claim_apart(ids[:half], claim), *self._claim_apart(ids[half:], claim)]

    def _explain(self, ids: Sequence[UUID], won: Sequence[Claimed]) -> set[UUID]:
        """Puts off what nobody here can run; returns what belongs back into Redis, because its queue is
        paused, or no more so, or this worker was given up. The rest is done, cancelled or delivered twice, and
        its message is simply acknowledged."""
        have = {w.id for w in won}
        refusals = self._refusals([i for i in ids if i not in have])
        kept = [r for r in refusals if r.reason in {"paused", "worker_lost", "open"}]
        for queue in {r.queue for r in kept if r.reason != "open"}:
            self._inbox.close(queue, PAUSED_SECONDS)
        if unknown := [r.id for r in refusals if r.reason == "unknown"]:
            log.warning("task_type_unknown", tasks=len(unknown))
            self._put_off(unknown)
        if any(r.reason == "suspect" for r in refusals):
            self._suspected()
        return {r.id for r in kept}

    def _rest(self, event: str, error: Exception) -> None:
        self._inbox.doubt()
        first = not self._pause
        self._pause = min(max(0.1, self._pause * 2), _LONGEST_PAUSE_SECONDS)
        if first:
            log.warning(event, error=str(error))
        if not self._ready:  # what was claimed does not wait
            self._draining.wait(self._pause * random.uniform(0.5, 1.0))

    # Stopping

    def drain(self) -> None:
        """Fetch no more. Ends a wait for room or for a wake-up that is under way."""
        self._draining.set()
        self._desk.close()
        with suppress(redis.RedisError):  # the wait ends by itself within two seconds
            self._inbox.wake()

    @property
    def is_drained(self) -> bool:
        """Whether the last fetch is dealt with and its claims are handed on: no more will come."""
        return self._drained.is_set()


def running(work: Claimed) -> Change:
    """What is told of a task that was just claimed."""
    return Change(work.id, work.name, work.queue, State.RUNNING, work.attempt, work.workflow_id)


def message_of(slot: Slot) -> MessageProxy:
    """The message for Dramatiq's threads; it never leaves this process, so it carries the slot itself."""
    return MessageProxy(Message(queue_name=LANES, actor_name=ACTOR, args=(slot,), kwargs={}, options={}))


def _all(letters: Letters) -> list[Letter]:
    return [letter for of_task in letters.values() for letter in of_task]
