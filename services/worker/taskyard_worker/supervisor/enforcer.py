"""The enforcer: ends attempts that do not end by themselves, from the slot tables that children share.

A task that runs past its hard limit, or goes on after it was cancelled, is fenced: its attempt is recorded as over, so
that nothing it writes later counts. Then its process is ended:

- at once, where the child runs nothing else, or its main thread does not turn (C code that holds the GIL);
- otherwise after its other tasks, or after ten seconds; those pay nothing.

Either way the task has ended its process, which is counted (`blame`).

A child with outcomes that wait for PostgreSQL is not killed while it can still record them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

import structlog

from taskyard.domain.errors import HardTimeLimitExceeded
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Cancelled, Outcome, RetryIn
from taskyard.running import outcomes

from ..slots import Entry, Kind, Phase
from .handle import ForcedEnd, Handle
from .requests import Key
from .types import hard_limit_policy

log = structlog.stdlib.get_logger(__name__)

# How long the other tasks of a child may run on once it has to end.
LAST_SECONDS = 10.0
# A child reports four times a second.
_UNRESPONSIVE_SECONDS = 2.0


class Enforcer:
    """`record` has the end recorded; `blame` is told the kind of a task that ends its process. Belongs to the
    supervisor's main thread."""

    def __init__(
        self, *, grace_seconds: float, record: Callable[[ForcedEnd], None], blame: Callable[[Kind], None]
    ) -> None:
        self._grace = grace_seconds
        self._record = record
        self._blame = blame
        self._cancel_by: dict[Key, float] = {}
        self._fenced: set[Key] = set()

    def cancel(self, keys: Iterable[Key], children: Iterable[Handle]) -> None:
        """Passes cancellations on to the children that hold the tasks, once each."""
        fresh = set(keys) - self._cancel_by.keys()
        if not fresh:
            return  # which is so nearly always: the slots are not read for nothing
        for child in children:
            for entry in child.table.entries():
                key = (entry.task_id, entry.claim)
                if key in fresh:
                    self._cancel_by[key] = time.monotonic() + self._grace
                    child.send({"do": "cancel", "task": str(entry.task_id), "claim": str(entry.claim)})

    def turn(self, children: Iterable[Handle]) -> None:
        """Looks at everything that runs."""
        # The others are of interest only as long as what it knows of a claim has to be forgotten with that one.
        only = None if self._cancel_by or self._fenced else Phase.BEGUN
        seen: set[Key] = set()
        for child in children:
            entries = list(child.table.entries(only))
            seen.update((e.task_id, e.claim) for e in entries)
            self._watch(child, [e for e in entries if e.phase is Phase.BEGUN and e.begun_at])
        for key in self._cancel_by.keys() - seen:
            del self._cancel_by[key]
        self._fenced &= seen

    def child_ended(self, child: Handle, held: Iterable[Entry]) -> list[Entry]:
        """Records the attempts for which the child was killed; returns the entries of the others."""
        others = []
        for entry in held:
            key = (entry.task_id, entry.claim)
            if (end := child.forced_ends.pop(key, None)) is not None:
                self._record(end)
            elif key not in self._fenced:
                others.append(entry)
        return others

    def _watch(self, child: Handle, begun: list[Entry]) -> None:
        if child.why_killed is not None:
            return  # its exit is on the way
        now = time.monotonic()
        unresponsive = child.is_unresponsive(_UNRESPONSIVE_SECONDS)
        watched = [e for e in begun if (e.task_id, e.claim) not in self._fenced]
        over = [end for e in watched if (end := self._over(child, e, now))]
        for kind in {end.kind for end in over} - child.blamed:  # once, however many of them end one process
            child.blamed.add(kind)
            self._blame(kind)
        # Tasks whose outcome is not recorded yet would have to run again.
        unrecorded = (bool(over) or child.kill_at is not None) and child.table.holds(Phase.FINISHED)
        if over and (unresponsive or (len(begun) == 1 and not unrecorded)):
            # Recorded once the child has ended, so that two runs never overlap.
            child.forced_ends.update({(end.task_id, end.claim): end for end in over})
            self._kill(child, over[0].why)
            return
        for end in over:
            self._fence(child, end)
        if child.kill_at is not None and (unresponsive or (now >= child.kill_at and not unrecorded)):
            self._kill(child, "a task beside it did not end")

    def _over(self, child: Handle, entry: Entry, now: float) -> ForcedEnd | None:
        """How the attempt ends, where its time is over."""
        ran = now - entry.begun_at
        outcome: Outcome
        if entry.hard_seconds and ran > entry.hard_seconds:
            why = f"{entry.name} ran longer than its hard limit"
            outcome = outcomes.expired() if entry.expires else _timed_out(child, entry)
        elif now > self._cancel_by.get((entry.task_id, entry.claim), now):
            why = f"{entry.name} did not stop within {self._grace:g} s of being cancelled"
            outcome = Cancelled(f"it did not stop within {self._grace:g} s", forced=True)
        else:
            return None
        return ForcedEnd(entry.task_id, entry.claim, entry.kind, outcome, ran, why)

    def _fence(self, child: Handle, end: ForcedEnd) -> None:
        """Records the attempt as over while it runs on; a retry begins after the child has ended."""
        outcome = end.outcome
        if isinstance(outcome, RetryIn):
            later = max(outcome.delay, timedelta(seconds=LAST_SECONDS + 1))
            end = replace(end, outcome=replace(outcome, delay=later))
        log.warning("attempt_fenced", task_id=str(end.task_id), task_name=end.name, why=end.why)
        self._fenced.add((end.task_id, end.claim))
        self._record(end)
        child.send({"do": "abandon", "task": str(end.task_id), "claim": str(end.claim)})
        child.retiring = True
        child.kill_at = child.kill_at or time.monotonic() + LAST_SECONDS

    def _kill(self, child: Handle, why: str) -> None:
        log.warning("child_killed", child=child.index, pid=child.pid, why=why)
        child.is_enforced = True
        child.kill(why)


def _timed_out(child: Handle, entry: Entry) -> Outcome:
    # It claims no other types: a name that is not there does not cost the attempt all the same.
    spec = child.types.get(entry.name)
    return outcomes.of_error(
        HardTimeLimitExceeded(),
        RetryPolicy() if spec is None else hard_limit_policy(spec.retry),
        failures=entry.failures + 1,
        max_attempts=entry.max_attempts,
        limit_seconds=entry.hard_seconds,
    )
