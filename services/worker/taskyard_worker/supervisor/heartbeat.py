"""The heartbeat: the worker says that it lives, and compares what PostgreSQL holds for it with what its children hold.

- A running row whose claim no child holds at two beats in a row is released: the answer to its claim was lost.
- A claim that a child holds and PostgreSQL does not know is asserted: a failover forgot it.
- A cancellation that was requested is handed to the main thread.
- Suspects that wait are counted, so that the main thread starts children in quarantine for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import Engine

from taskyard.lifecycle import workers
from taskyard.lifecycle.assertion import Assertion
from taskyard.lifecycle.claim import suspects
from taskyard.lifecycle.workers import Beat, Held
from taskyard.store import ledger

from .ends import AttemptEnds, Counts
from .registration import Registration
from .requests import Key, Requests

log = structlog.stdlib.get_logger(__name__)


class Holders(Protocol):
    """The children, as far as the heartbeat asks them."""

    def beat(self, worker_id: UUID, state: str) -> Beat: ...

    def claims(self, worker: str) -> Sequence[Assertion]: ...


class LedgerHeartbeat:
    """Belongs to the recorder's thread. All methods raise LedgerUnavailable."""

    def __init__(
        self,
        engine: Engine,
        registration: Registration,
        children: Holders,
        requests: Requests,
        ends: AttemptEnds,
        counts: Counts,
    ) -> None:
        self._engine = engine
        self._registration = registration
        self._children = children
        self._requests = requests
        self._ends = ends
        self._counts = counts
        self._unheld: AbstractSet[Key] = frozenset()

    def beat(self, being_recorded: AbstractSet[Key]) -> None:
        """`being_recorded` are claims that no child holds any more and whose end is on its way to the ledger. The main
        thread adds to it while this runs, before it forgets the child: so it is read last.
        """
        worker_id = self._registration.worker_id
        beat = self._children.beat(worker_id, "draining" if self._requests.is_stopping else "running")
        if not ledger.run(self._engine, lambda conn: workers.beat(conn, beat)):
            log.error("worker_given_up", worker_id=str(worker_id))
            self._registration.given_up()
            self._requests.give_up()
            return
        held = self.compare()
        unheld = {(h.task_id, h.claim) for h in held} - self._keys()
        unheld -= set(being_recorded)
        twice = unheld & self._unheld
        self._unheld = unheld - twice
        if twice:
            log.warning("claims_released_unheld", tasks=len(twice))
            self._counts.recovered("unheld", len(twice))
            self._ends.release([h for h in held if (h.task_id, h.claim) in twice], "no child held the claim")

    def compare(self) -> Sequence[Held]:
        """Acts on what the ledger says of this worker's claims and queues; returns the running rows it has for us."""
        registration = self._registration
        before = [claim for claim in self._children.claims(registration.name) if claim.attempt]
        held = ledger.run(self._engine, lambda conn: workers.held(conn, registration.worker_id))
        known = {(h.task_id, h.claim) for h in held}
        # This includes claims that ended a moment ago; the ledger refuses to assert those.
        forgotten = [claim for claim in before if (claim.task_id, claim.claim) not in known]
        if forgotten and (back := self._ends.assert_held(forgotten, registration.worker_id)):
            log.warning("claims_asserted", tasks=len(back))
            self._counts.recovered("asserted", len(back))
        if wanted := {(h.task_id, h.claim) for h in held if h.cancel_requested}:
            self._requests.cancel(wanted)
        ask = partial(
            suspects, queues=registration.queues, types=registration.task_types, worker_id=registration.worker_id
        )
        self._requests.run_suspects(len(ledger.run(self._engine, ask)))
        return held

    def sign_off(self) -> None:
        """Releases what the ledger still holds for this worker, and retires it."""
        worker_id = self._registration.worker_id
        if held := ledger.run(self._engine, lambda conn: workers.held(conn, worker_id)):
            self._ends.release(held, "the worker stopped")
        ledger.run(self._engine, lambda conn: workers.retire(conn, worker_id))

    def _keys(self) -> set[Key]:
        return {(claim.task_id, claim.claim) for claim in self._children.claims(self._registration.name)}
