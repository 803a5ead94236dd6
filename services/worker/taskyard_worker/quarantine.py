"""Quarantine: where suspects run, alone.

When a process dies in which several tasks had begun, nobody knows which of them killed it. Each runs next in
a child like this one: one thread, one task at a time, asked of the ledger and not of Redis. What dies here
is guilty. The supervisor starts such a child when suspects wait, and it ends when none is left.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import structlog
from dramatiq import MessageProxy

from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.tasks import Change
from taskyard.lifecycle.claim import Claimed

from .consumer import message_of, running
from .desk import Desk

log = structlog.stdlib.get_logger(__name__)

_IDLE_SECONDS = 2.0
_LOOK_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 2.0


class QuarantineLane:
    """Stands in for a `Lane`: `suspects` names what waits, `claim` asks for it; both raise LedgerUnavailable.
    `give_up` ends a claim that cannot be read.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        suspects: Callable[[], Sequence[UUID]],
        claim: Callable[[Sequence[UUID], UUID], list[Claimed]],
        give_up: Callable[[UUID, UUID, Exception], None],
        won: Callable[[Sequence[Change], Sequence[Claimed]], None],
    ) -> None:
        self._desk = desk
        self._give_up = give_up
        self._suspects = suspects
        self._claim = claim
        self._won = won
        self._draining = threading.Event()
        self._drained = threading.Event()
        self._pause = 0.0
        self._busy_at = time.monotonic()
        self.polled = self.fetched = time.monotonic()

    def next_message(self) -> MessageProxy | None:
        """The next suspect, once nothing else is under way here; None after a while without one. Raises
        nothing."""
        self.polled = time.monotonic()
        if self._draining.is_set():
            self._drained.set()
            time.sleep(0.2)
            return None
        if self._desk.busy:
            self._busy_at = time.monotonic()
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
            self._pause = 0.0
            if message is None:
                self._draining.wait(_LOOK_SECONDS)
            return message
        return None

    def _take(self) -> MessageProxy | None:
        for task_id in self._suspects():
            claim = uuid4()
            slots = self._desk.enter([task_id], claim)
            won: list[Claimed] = []
            try:
                won = self._claim([task_id], claim)
            except LedgerUnavailable:
                raise
            except Exception as e:
                log.exception("claim_unreadable", task_id=str(task_id))
                self._give_up(task_id, claim, e)  # the others must not wait behind it
            finally:
                # A claim whose answer got lost is released: nobody holds it.
                kept = self._desk.settle(slots, won)
            if kept:
                self._busy_at = time.monotonic()
                self._won([running(w) for w in won], won)
                return message_of(kept[0])
        return None

    def _rest(self, event: str, error: Exception) -> None:
        self._pause = min(max(0.1, self._pause * 2), _LONGEST_PAUSE_SECONDS)
        self._busy_at = time.monotonic()
        log.warning(event, what="quarantine", error=str(error))
        self._draining.wait(self._pause * random.uniform(0.5, 1.0))

    @property
    def is_idle(self) -> bool:
        """Whether no suspect has been waiting for a while."""
        return not self._desk.busy and time.monotonic() - self._busy_at > _IDLE_SECONDS

    def drain(self) -> None:
        """Take no more."""
        self._draining.set()

    @property
    def is_drained(self) -> bool:
        return self._drained.is_set()
