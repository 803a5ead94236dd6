"""The enforcer: ends what does not end by itself, from the slot tables that the supervisor shares with its
children.

A task that runs past its hard limit, or goes on although it was cancelled, is fenced: its attempt is
recorded as over, so that nothing it does later counts. Then its process is ended. A child that runs nothing
else, or that does not answer any more (C code that holds the GIL), is killed at once; one with other tasks
takes no more and is killed when these are done, after ten seconds at the latest. Those pay nothing. Nor is a
child killed that has outcomes to record and is only waiting for PostgreSQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog

from taskyard.catalogue.types import Catalogue
from taskyard.domain.errors import HardTimeLimitExceeded
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Cancelled, Outcome, RetryIn

from . import outcomes
from .handle import Handle
from .slots import Entry, Phase
from .verdict import Verdict

log = structlog.stdlib.get_logger(__name__)

# How long the other tasks of a child may go on once it has to end.
LAST_SECONDS = 10.0
# A child reports itself four times a second.
_DEAF_SECONDS = 2.0

Key = tuple[UUID, UUID]  # task, claim


class Enforcer:
    """`condemn` has a verdict recorded. All of it belongs to the supervisor's main thread."""

    def __init__(self, catalogue: Catalogue, *, grace_seconds: float, condemn: Callable[[Verdict], None]) -> None:
        self._catalogue = catalogue
        self._grace = grace_seconds
        self._condemn = condemn
        self._cancels: dict[Key, float] = {}  # until when the task may take to stop
        self._fenced: set[Key] = set()

    def cancel(self, keys: Iterable[Key], children: Iterable[Handle]) -> None:
        """Somebody asked for the end of these: tells the children that hold them, once."""
        fresh = set(keys) - self._cancels.keys()
        for child in children:
            for entry in child.table.entries():
                key = (entry.task_id, entry.claim)
                if key in fresh:
                    self._cancels[key] = time.monotonic() + self._grace
                    child.say({"do": "cancel", "task": str(entry.task_id), "claim": str(entry.claim)})

    def turn(self, children: Iterable[Handle]) -> None:
        """Looks at everything that runs."""
        seen: set[Key] = set()
        for child in children:
            entries = list(child.table.entries())
            seen.update((e.task_id, e.claim) for e in entries)
            self._watch(child, entries)
        for key in self._cancels.keys() - seen:
            del self._cancels[key]
        self._fenced &= seen

    def bury(self, child: Handle, held: Iterable[Entry]) -> list[Entry]:
        """After its exit: has the verdicts recorded that led to it; returns the entries of the others."""
        others = []
        for entry in held:
            key = (entry.task_id, entry.claim)
            if (verdict := child.verdicts.pop(key, None)) is not None:
                self._condemn(verdict)
            elif key not in self._fenced:
                others.append(entry)
        return others

    def _watch(self, child: Handle, entries: list[Entry]) -> None:
        if child.why_killed is not None:
            return  # its exit is on the way
        now = time.monotonic()
        deaf = child.is_deaf(_DEAF_SECONDS)
        begun = [e for e in entries if e.phase is Phase.BEGUN and e.begun_at]
        # What has ended and is not recorded (PostgreSQL is away) would have to run again.
        unrecorded = any(e.phase is Phase.FINISHED for e in entries)
        over = [v for e in begun if (e.task_id, e.claim) not in self._fenced and (v := self._judge(e, now))]
        if over and (deaf or (len(begun) == 1 and not unrecorded)):
            # Recorded once it has ended, so that two runs never overlap.
            child.verdicts.update({(v.task_id, v.claim): v for v in over})
            self._kill(child, over[0].why)
            return
        for verdict in over:
            self._fence(child, verdict)
        if child.end_at is not None and (deaf or (now >= child.end_at and not unrecorded)):
            self._kill(child, "a task beside it did not end")

    def _judge(self, entry: Entry, now: float) -> Verdict | None:
        ran = now - entry.begun_at
        outcome: Outcome
        if entry.hard_seconds and ran > entry.hard_seconds:
            why = f"{entry.name} ran longer than its hard limit"
            outcome = outcomes.expired() if entry.expires else self._timed_out(entry)
        elif now > self._cancels.get((entry.task_id, entry.claim), now):
            why = f"{entry.name} did not stop within {self._grace:g} s of being cancelled"
            outcome = Cancelled(f"it did not stop within {self._grace:g} s", forced=True)
        else:
            return None
        return Verdict(entry.task_id, entry.claim, entry.name, outcome, ran, why)

    def _timed_out(self, entry: Entry) -> Outcome:
        return outcomes.of_limit(
            HardTimeLimitExceeded(),
            entry.hard_seconds,
            self._policy_of(entry.name),
            failures=entry.failures + 1,
            max_attempts=entry.max_attempts,
        )

    def _policy_of(self, name: str) -> RetryPolicy:
        # A child reads the task modules when it starts: after an update in place it may know more than we do.
        return self._catalogue[name].retry if name in self._catalogue else RetryPolicy()

    def _fence(self, child: Handle, verdict: Verdict) -> None:
        """The others go on for a while, and so does it: another attempt begins when that is over."""
        outcome = verdict.outcome
        if isinstance(outcome, RetryIn):
            later = max(outcome.delay, timedelta(seconds=LAST_SECONDS + 1))
            verdict = replace(verdict, outcome=replace(outcome, delay=later))
        log.warning("attempt_fenced", task_id=str(verdict.task_id), task_name=verdict.name, why=verdict.why)
        self._fenced.add((verdict.task_id, verdict.claim))
        self._condemn(verdict)
        child.say({"do": "abandon", "task": str(verdict.task_id), "claim": str(verdict.claim)})
        child.retiring = True
        child.end_at = child.end_at or time.monotonic() + LAST_SECONDS

    def _kill(self, child: Handle, why: str) -> None:
        log.warning("child_killed", child=child.index, pid=child.pid, why=why)
        child.is_condemned = True
        child.kill(why)
