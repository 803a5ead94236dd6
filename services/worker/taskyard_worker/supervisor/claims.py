"""This worker's claims in the ledger: heartbeats that compare them with what the children hold, and attempts that end
from outside of their process.

- A running row whose claim no child holds at two beats in a row is released: the answer to its claim was lost.
- A claim that a child holds and PostgreSQL does not know is asserted: a failover forgot it.
- A cancellation that was requested is handed to the main thread.
- What is asked of the worker is handed to the main thread, too.
- Tasks that wait to run apart are counted, so that the main thread starts children in quarantine for them.
"""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from taskyard.domain.processes import ProcessRange
from taskyard.domain.tasks import Change, Released
from taskyard.lifecycle import workers
from taskyard.lifecycle.assertion import Assertion, assert_claims
from taskyard.lifecycle.claim import set_apart
from taskyard.lifecycle.committed import Announcer, Committed, commit
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.put_off import take_up
from taskyard.lifecycle.rescue import Lost, lose
from taskyard.lifecycle.workers import Asked, Beat, Held
from taskyard.store import ledger
from taskyard.store.final_failures import report_failures
from taskyard.telemetry.reports import NO_REPORTS, Reports

from ..quarantine import children_for
from .handle import ForcedEnd
from .registration import Registration
from .requests import Key

log = structlog.stdlib.get_logger(__name__)


_BATCH = 1000


class Holders(Protocol):
    """The `Children`, as far as the ledger is told of them."""

    def beat(self, worker_id: UUID, state: str) -> Beat: ...

    def claims(self, worker: str) -> Sequence[Assertion]: ...


class Wishes(Protocol):
    """The `Requests` that come from the ledger."""

    @property
    def is_stopping(self) -> bool: ...

    def give_up(self) -> None: ...

    def cancel(self, keys: Collection[Key]) -> None: ...

    def ask(self, asked: Asked) -> None: ...

    def run_apart(self, children: int) -> None: ...


class Pool(Protocol):
    """What the `ChildPool` has done of what was asked."""

    @property
    def bounds(self) -> ProcessRange: ...

    @property
    def restarted_at(self) -> datetime | None: ...


class Counts(Protocol):
    """The `SupervisorMetrics` of what is recorded."""

    @property
    def totals(self) -> Mapping[str, int]: ...

    def lost(self, items: Sequence[Lost], changes: Sequence[Change]) -> None: ...

    def recovered(self, cause: str, tasks: int) -> None: ...

    def forced(self, end: ForcedEnd, changes: Sequence[Change]) -> None: ...


class WorkerClaims:
    """Belongs to the recorder's thread. All methods raise LedgerUnavailable."""

    def __init__(
        self,
        engine: Engine,
        announcer: Announcer,
        metrics: Counts,
        registration: Registration,
        children: Holders,
        requests: Wishes,
        pool: Pool,
        *,
        crash_limit: int,
        reports: Reports = NO_REPORTS,
    ) -> None:
        self._run = partial(ledger.run, engine)
        self._announcer = announcer
        self._metrics = metrics
        self._registration = registration
        self._children = children
        self._requests = requests
        self._pool = pool
        self._crash_limit = crash_limit
        self._reports = reports
        self._unheld: AbstractSet[Key] = frozenset()

    def tell(self) -> bool:
        """Writes how the worker is, and hands over what is asked of it. False where it was given up."""
        worker_id = self._registration.worker_id
        beat = self._children.beat(worker_id, "draining" if self._requests.is_stopping else "running")
        bounds, restarted_at = self._pool.bounds, self._pool.restarted_at
        attempts = _told(beat.attempts, self._metrics.totals)
        beat = replace(
            beat, attempts=attempts, processes=bounds.maximum, processes_set=str(bounds), restarted_at=restarted_at
        )
        asked = self._run(lambda conn: workers.beat(conn, beat))
        if asked is None:
            log.error("worker_given_up", worker_id=str(worker_id))
            self._registration.given_up()
            self._requests.give_up()
            return False
        self._hand_over(asked)
        return True

    def beat(self, being_recorded: AbstractSet[Key]) -> None:
        """`being_recorded` are claims that no child holds any more and whose end is on its way to the ledger. The main
        thread adds to it while this runs, before it forgets the child: so it is read last.
        """
        if not self.tell():
            return
        held = self.compare()
        claims = self._children.claims(self._registration.name)
        unheld = {(h.task_id, h.claim) for h in held} - {(c.task_id, c.claim) for c in claims}
        unheld -= set(being_recorded)
        twice = unheld & self._unheld
        self._unheld = unheld - twice
        if twice:
            log.warning("claims_released_unheld", tasks=len(twice))
            self._metrics.recovered("unheld", len(twice))
            self._release([h for h in held if (h.task_id, h.claim) in twice], "no child held the claim")

    def look(self) -> None:
        """What a hint is about: an answer that is known at the next beat otherwise."""
        asked = self._run(lambda conn: workers.asked(conn, self._registration.worker_id))
        if asked is not None:  # else the next beat tells
            self._hand_over(asked)
        self.compare()

    def _hand_over(self, asked: Asked) -> None:
        if asked != Asked():
            self._requests.ask(asked)

    def compare(self) -> Sequence[Held]:
        """Acts on what the ledger says of this worker's claims and queues; returns the running rows it has for us."""
        worker = self._registration
        before = [claim for claim in self._children.claims(worker.name) if claim.attempt]
        held = self._held()
        known = {(h.task_id, h.claim) for h in held}
        # This includes claims that ended a moment ago; the ledger refuses to assert those.
        forgotten = [claim for claim in before if (claim.task_id, claim.claim) not in known]
        if forgotten:
            verb = partial(assert_claims, claims=forgotten, worker_id=worker.worker_id)
            if back := commit(self._run, verb, self._announcer):
                log.warning("claims_asserted", tasks=len(back))
                self._metrics.recovered("asserted", len(back))
        if wanted := {(h.task_id, h.claim) for h in held if h.cancel_requested}:
            self._requests.cancel(wanted)
        ask = partial(set_apart, queues=worker.queues, types=worker.versions, worker_id=worker.worker_id)
        self._requests.run_apart(children_for(self._run(ask).values(), worker.threads))
        return held

    def take_up(self) -> bool:
        """Queues what other workers put off and this one runs, now that its types are registered: a batch of it. Says
        whether there may be more. Once more at the next beat, because another worker may have looked just before that.
        Nothing while it drains: it would run none of them.
        """
        if self._requests.is_stopping:
            return False
        worker = self._registration
        verb = partial(take_up, queues=worker.queues, types=worker.versions, limit=_BATCH)
        taken: int = commit(self._run, verb, self._announcer, name="take_up")
        if taken:
            log.info("tasks_taken_up", tasks=taken)
        return taken == _BATCH

    def lose(self, cause: str, items: Sequence[Lost]) -> None:
        """Records what died with a child."""
        changes = self._commit(partial(lose, lost=items, crash_limit=self._crash_limit), name="lose")
        log.warning("attempts_lost", cause=cause, held=len(items), recorded=len(changes))
        self._metrics.lost(items, changes)
        self._metrics.recovered("child", len(changes))
        report_failures(self._reports, self._run, changes)

    def force(self, end: ForcedEnd, since: float) -> None:
        """Records the end of an attempt that was ended by force, at the CLOCK_MONOTONIC second `since`."""
        late = time.monotonic() - since
        finished = Finished(end.task_id, end.claim, end.outcome, end.run_seconds, late)
        changes = self._commit(partial(finish, ends=[finished]))
        self._metrics.forced(end, changes)
        report_failures(self._reports, self._run, changes)

    def sign_off(self) -> None:
        """Releases what the ledger still holds for this worker, and retires it."""
        if held := self._held():
            self._release(held, "the worker stopped")
        self._run(lambda conn: workers.retire(conn, self._registration.worker_id))

    def _held(self) -> list[Held]:
        return self._run(lambda conn: workers.held(conn, self._registration.worker_id))

    def _release(self, held: Sequence[Held], cause: str) -> None:
        """Gives claims back; their tasks are queued again and pay nothing."""
        self._commit(partial(finish, ends=[Finished(h.task_id, h.claim, Released(cause)) for h in held]))

    def _commit(self, verb: Callable[[Connection], Committed[list[Change]]], *, name: str = "") -> list[Change]:
        return commit(self._run, verb, self._announcer, name=name)


def _told(*counts: Mapping[str, int]) -> dict[str, int]:
    """Attempts that ended since the worker's start, as the API names their outcomes."""
    ends = Count[str]()
    for one in counts:
        ends.update(one)
    told = {outcome: ends[outcome] for outcome in ("succeeded", "failed", "crashed", "cancelled")}
    return {**told, "retried": ends["retrying"]}
