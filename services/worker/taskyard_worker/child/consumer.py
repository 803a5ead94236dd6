"""The consumer: it fetches from Redis and claims in the ledger, one a child.

It waits for room, fetches from the real queues in the order of their lanes, claims what it fetched in one update,
acknowledges, and calls as many idle threads as there are claims for.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from typing import Protocol
from uuid import UUID, uuid4

import redis
import structlog
from dramatiq import MessageProxy

from taskyard.backoff import Backoff
from taskyard.bisection import bisect
from taskyard.domain.errors import LedgerUnavailable
from taskyard.failpoints import failpoint
from taskyard.lifecycle.claim import Claimed, Refusal
from taskyard.telemetry.metrics import Dependency

from .broker import call
from .claim_table import ClaimTable
from .fetcher import Fetcher, Message, Messages

log = structlog.stdlib.get_logger(__name__)

# It is told when a queue is resumed. That message may get lost.
PAUSED_SECONDS = 5.0
# Of a queue that had nothing but what other workers run, so that they take it.
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 0.1, 2.0
_LONGEST_PAUSE_SECONDS = 2.0
_MAX_FETCH = 128


class Claims(Protocol):
    """The ledger's side of claiming, for both consumers: `claims.LedgerClaims`. All methods but `count` raise
    LedgerUnavailable."""

    def claim(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        """Returns what was won. Harmless to repeat with the same claim id."""
        ...

    def fail_unreadable(self, task_id: UUID, claim: UUID, error: Exception) -> None:
        """Fails a task that was claimed and cannot be read."""
        ...

    def count(self, won: Sequence[Claimed]) -> None:
        """For the metrics."""
        ...


class ClaimSource(Claims, Protocol):
    """For tasks that were fetched."""

    def refusals(self, ids: Sequence[UUID]) -> list[Refusal]:
        """Why tasks that are still queued were not won."""
        ...

    def put_off(self, ids: Sequence[UUID]) -> None:
        """Moves tasks that no live worker runs into the future."""
        ...

    def hold_back(self, ids: Sequence[UUID]) -> None:
        """Leaves tasks whose queue has got a limit to the leader, which publishes them again in their turn."""
        ...

    def leave_slowed(self, refused: Sequence[Refusal]) -> None:
        """Moves tasks to when this worker takes their kind again."""
        ...


class TaskConsumer:
    """`polled` and `fetched` are what the slot table reports (`slots.Header`)."""

    def __init__(
        self,
        fetcher: Fetcher,
        table: ClaimTable,
        source: ClaimSource,
        *,
        broker: Dependency | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._table = table
        self._source = source
        self._broker = broker
        self._calls = 0  # of threads, to the claims that were won
        self._backoff = Backoff(0.1, _LONGEST_PAUSE_SECONDS)
        self._rests: dict[str, Backoff] = defaultdict(partial(Backoff, _FIRST_REST_SECONDS, _LONGEST_REST_SECONDS))
        self._suspected = threading.Event()
        self._draining = threading.Event()
        self._drained = threading.Event()
        self.polled = self.fetched = time.monotonic()

    def next_message(self) -> MessageProxy | None:
        """A call of a thread to what was claimed, or None after a while without one. Raises nothing: Dramatiq would
        make a new iterator and pause for three seconds."""
        if self._calls:
            return self._next_call()
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
        return self._next_call() if self._calls else None

    def _next_call(self) -> MessageProxy:
        self._calls -= 1
        return call()

    def _step(self) -> None:
        queues = self._fetcher.open_queues()
        room = self._table.wait_for_room(queues or self._fetcher.queues, 0.5)
        if not room or self._draining.is_set():
            self.fetched = time.monotonic()  # without room, no fetch is missing
            return
        self._fetcher.sweep()
        if self._fetcher.look_above(queues):
            queues = self._fetcher.open_queues()
            if not (room := self._table.room(queues)):
                return  # the room that there is would be filled from below: it is left to the task above
        fetched = self._fetcher.fetch(min(room, _MAX_FETCH), queues)
        self.fetched = time.monotonic()
        if self._broker is not None:
            self._broker.answered()
        if not fetched:
            woken = self._fetcher.wait()
            if self._draining.is_set():
                return
            # After a wait without a wake-up it looks everywhere, in case one got lost.
            queues = [woken] if woken else list(self._fetcher.queues)
            fetched = self._fetcher.fetch(min(self._table.room(queues), _MAX_FETCH), queues)
        if fetched:
            self._take(fetched)
        if self._backoff.reset():
            log.info("consumer_recovered")

    def _take(self, fetched: Messages) -> None:
        ids = list(fetched)
        claim, asked_at = uuid4(), time.monotonic()
        slots = self._table.enter(ids, claim)
        try:
            won = self._claim_patiently(ids, claim)
        except BaseException:  # from outside
            self._table.settle(slots, [])
            raise
        if won is None:
            # The child stops while PostgreSQL is away. If a claim did get through, the heartbeat releases the rows,
            # because no child holds them.
            self._table.settle(slots, [])
            self._fetcher.requeue(_all(fetched))
            return
        # From here on the claims are handed on, whatever goes wrong with the rest.
        self._calls = self._table.waiting.add(self._table.settle(slots, won))
        if won:
            self._source.count(won)
        kept = self._explain(ids, won, asked_at) if len(won) < len(ids) else {}
        failpoint("acknowledge.before")
        self._fetcher.acknowledge(_all({i: messages for i, messages in fetched.items() if i not in kept}))
        failpoint("acknowledge.after")
        if paused := {i: fetched[i] for i, reason in kept.items() if reason == "paused"}:
            self._fetcher.put_back(_all(paused))
        if others := {i: fetched[i] for i in kept if i not in paused}:
            self._fetcher.hand_on(_all(others))

    def _claim_patiently(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed] | None:
        """Claims until PostgreSQL answers; None where the child stops first. The claim id stays the same, so that a
        claim whose answer got lost is found again."""
        backoff = Backoff(0.05, _LONGEST_PAUSE_SECONDS)
        claim_them = self._source.claim
        while True:
            try:
                return claim_them(ids, claim)
            except LedgerUnavailable as e:
                log.warning("ledger_unavailable", what="claim", error=str(e))
                self.polled = time.monotonic()  # waiting for PostgreSQL is not being stuck
            except Exception:
                log.exception("claim_failed")
                claim_them = self._claim_apart
            if self._draining.wait(backoff.next()):
                return None

    def _claim_apart(self, ids: Sequence[UUID], claim: UUID) -> list[Claimed]:
        """Claims half by half, so that a task that cannot be read fails alone and the others run."""

        def fail(task_id: UUID, error: Exception) -> list[Claimed]:
            log.error("claim_unreadable", task_id=str(task_id), exc_info=error)
            self._source.fail_unreadable(task_id, claim, error)
            return []

        parts = bisect(
            ids,
            lambda part: self._source.claim(part, claim),
            is_to_blame=lambda error: not isinstance(error, LedgerUnavailable),
            alone=fail,
        )
        return [work for part in parts for work in part]

    def _explain(self, ids: Sequence[UUID], won: Sequence[Claimed], asked_at: float) -> dict[UUID, str]:
        """Asks why tasks were not won, and acts on it. Returns those whose messages go back into Redis, and why: their
        queue is paused or was resumed at this moment, another worker runs their type or version, or this one was given
        up. The others are done, cancelled or delivered twice; their messages are simply acknowledged."""
        have = {w.id for w in won}
        refusals = self._source.refusals([i for i in ids if i not in have])
        kept = [r for r in refusals if r.reason in {"paused", "worker_lost", "open", "elsewhere"}]
        for queue in {r.queue for r in kept if r.reason in {"paused", "worker_lost"}}:
            self._fetcher.close(queue, PAUSED_SECONDS, since=asked_at)
        self._rest_from({r.queue for r in kept if r.reason == "elsewhere"}, {w.queue for w in won})
        if unknown := [r.id for r in refusals if r.reason == "unknown"]:
            log.warning("task_type_unknown", tasks=len(unknown))
            self._source.put_off(unknown)
        if limited := [r.id for r in refusals if r.reason == "limited"]:
            self._source.hold_back(limited)
        if slowed := [r for r in refusals if r.reason == "slowed"]:
            self._source.leave_slowed(slowed)
        if any(r.reason == "apart" for r in refusals):
            self._suspected.set()
        return {r.id: r.reason for r in kept}

    def _rest_from(self, refusing: AbstractSet[str], useful: AbstractSet[str]) -> None:
        """Leaves queues to the workers that run what is in them. One that also had work for this child goes on: its
        fetches are paid for by that work."""
        for queue in useful:
            self._rests.pop(queue, None)
        for queue in refusing - useful:
            self._fetcher.close(queue, self._rests[queue].next())

    def _rest(self, event: str, error: Exception) -> None:
        self._fetcher.doubt()
        pause = self._backoff.next()
        if self._backoff.failures == 1:
            log.warning(event, error=str(error))
        if not self._calls:  # claimed tasks do not wait
            self._draining.wait(pause)

    # For the main thread

    def drain(self) -> None:
        """Fetches no more. Ends a wait for room or for a wake-up that is under way."""
        self._draining.set()
        self._table.close()
        with suppress(redis.RedisError):  # the wait ends by itself within two seconds
            self._fetcher.wake()

    def resume(self, queues: Sequence[str]) -> None:
        """Fetches from these again. A wait for a wake-up ends."""
        with suppress(redis.RedisError):  # the wait ends by itself
            self._fetcher.reopen(queues)

    @property
    def is_drained(self) -> bool:
        """Whether the last fetch is dealt with and its claims are handed on."""
        return self._drained.is_set()

    def met_suspects(self) -> bool:
        """Whether it was refused a task since the last call that a child in quarantine should run."""
        met = self._suspected.is_set()
        self._suspected.clear()
        return met

    def why_retire(self) -> str | None:
        """An ordinary child retires only when it is told to."""
        return None


def _all(messages: Messages) -> list[Message]:
    return [message for of_task in messages.values() for message in of_task]
