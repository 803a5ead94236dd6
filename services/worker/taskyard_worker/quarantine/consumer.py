"""The consumer of a child in quarantine: it claims what has to run apart, from the ledger and not from Redis.

See the package for the whole story.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID, uuid4

import structlog
from dramatiq import MessageProxy

from taskyard.backoff import Backoff
from taskyard.domain.errors import LedgerUnavailable
from taskyard.lifecycle.claim import Claimed

from ..child.broker import call
from ..child.claim_table import SHOWS_WITHIN_SECONDS, ClaimTable
from ..child.consumer import Claims

log = structlog.stdlib.get_logger(__name__)

_IDLE_SECONDS = 2.0
_LOOK_SECONDS = 0.25


class SuspectSource(Claims, Protocol):
    """For tasks that nobody fetched."""

    def set_apart(self) -> dict[UUID, str | None]:
        """Tasks that wait to run apart, and what they may run beside (`lifecycle.claim.set_apart`)."""
        ...


class SuspectConsumer:
    """Stands in for `child.consumer.TaskConsumer`."""

    def __init__(self, table: ClaimTable, source: SuspectSource) -> None:
        self._table = table
        self._source = source
        self._draining = threading.Event()
        self._drained = threading.Event()
        self._backoff = Backoff(0.1, 2.0)
        self._busy_at = time.monotonic()
        self._company: str | None = None  # what may run beside that which the child holds, if anything
        self.polled = self.fetched = time.monotonic()

    def next_message(self) -> MessageProxy | None:
        """The next task, once the child may run it beside what it holds; None after a while without one. Raises
        nothing."""
        self.polled = time.monotonic()
        if self._draining.is_set():
            self._drained.set()
            time.sleep(0.2)
            return None
        if busy := self._table.busy:
            self._busy_at = time.monotonic()
            if self._company is None or busy >= self._table.threads:
                self._draining.wait(_LOOK_SECONDS / 5)
                return None
        try:
            message = self._take()
        except LedgerUnavailable as e:
            self._rest("ledger_unavailable", e)
        except Exception as e:
            log.exception("quarantine_failed")
            self._rest("quarantine_failed", e)
        else:
            self._backoff.reset()
            if message is None:
                self._draining.wait(_LOOK_SECONDS)
            return message
        return None

    def _take(self) -> MessageProxy | None:
        for task_id, company in self._source.set_apart().items():
            if company is None and (self._table.busy or self._may_be_broken):
                return None  # in their order, or it would wait for as long as others come
            if self._table.busy and company != self._company:
                continue
            claim = uuid4()
            slots = self._table.enter([task_id], claim)
            won: list[Claimed] = []
            try:
                won = self._source.claim([task_id], claim)
            except LedgerUnavailable:
                raise
            except Exception as e:
                log.exception("claim_unreadable", task_id=str(task_id))
                self._source.fail_unreadable(task_id, claim, e)  # the others must not wait behind it
            finally:
                # A claim whose answer got lost is released by the heartbeat, because no child holds it.
                kept = self._table.settle(slots, won)
            if kept:
                self._busy_at = time.monotonic()
                self._company = company
                self._source.count(won)
                self._table.waiting.add(kept)
                return call()  # one a claim: it holds fewer than it has threads, so one of them is idle
        return None

    @property
    def _may_be_broken(self) -> bool:
        """Whether what ran last may have broken the child, which the next task would pay for."""
        return self._table.runs > 0 and time.monotonic() - self._busy_at < SHOWS_WITHIN_SECONDS

    def _rest(self, event: str, error: Exception) -> None:
        self._busy_at = time.monotonic()
        log.warning(event, what="quarantine", error=str(error))
        self._draining.wait(self._backoff.next())

    # For the main thread

    def drain(self) -> None:
        """Takes no more."""
        self._draining.set()

    def resume(self, queues: Sequence[str]) -> None:
        """It asks the ledger all the time."""

    @property
    def is_drained(self) -> bool:
        return self._drained.is_set()

    def met_suspects(self) -> bool:
        """It runs them itself."""
        return False

    def why_retire(self) -> str | None:
        """After an interrupt in a thread, or once nothing has waited for a while."""
        if self._table.interrupted_thread:
            return "interrupted"
        if not self._table.busy and time.monotonic() - self._busy_at > _IDLE_SECONDS:
            return "no_suspects"
        return None
