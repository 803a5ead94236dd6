"""The runner: one claimed task, from its stored parameters to an outcome in the writer's hands.

Dramatiq calls `Runner.run_all` in one of its threads, and the thread runs claims until none waits. It raises nothing:
Dramatiq would log the exception and acknowledge all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

import structlog

from taskyard.domain.errors import Interrupt, SoftTimeLimitExceeded
from taskyard.domain.tasks import Failed, Outcome
from taskyard.failpoints import failpoint
from taskyard.lifecycle.claim import Claimed
from taskyard.running import outcomes
from taskyard.running.attempt import Services, prepare, scratch_of
from taskyard.running.context import Sink
from taskyard.running.hooks import Hooks, Run
from taskyard.running.scratch import Scratch
from taskyard.running.speaker import current
from taskyard.running.speech import Redact

from .claim_table import SHOWS_WITHIN_SECONDS, ClaimTable
from .copies import leave_copy
from .event_loop import EventLoop, LoopInterrupts
from .interrupts import ShieldedStorage, ThreadInterrupts
from .leftovers import Leftovers
from .limits import Limits
from .skills import Skills
from .slot import Slot
from .wear import Wear
from .writer import End

log = structlog.stdlib.get_logger(__name__)

# To move the beginning of a run costs a lock and a write to memory that the supervisor reads.
_NOTICEABLE_SECONDS = 0.01


class Records(Sink, Protocol):
    """The child's writer."""

    def end(self, end: End) -> None: ...


class Runner:
    """One a child; `run_all` is called from all of its threads."""

    def __init__(
        self,
        skills: Skills,
        services: Services,
        table: ClaimTable,
        records: Records,
        hooks: Hooks,
        loop: EventLoop,
        wear: Wear,
        leftovers: Leftovers,
    ) -> None:
        self._skills = skills
        self._services = services
        self._table = table
        self._records = records
        self._hooks = hooks
        self._loop = loop
        self._wear = wear
        self._leftovers = leftovers

    def run_all(self) -> None:
        """Runs the claims that wait for a thread, one after the other: to hand each over by itself would cost more than
        a quick task."""
        waiting = self._table.waiting
        waiting.come()
        try:
            while (slot := waiting.take()) is not None:
                try:
                    self.run(slot)
                except Exception:  # of the platform: the claims behind it need this thread
                    log.exception("run_failed", task_id=str(slot.task_id))
        finally:  # also where it is interrupted from outside
            waiting.leave()

    def run(self, slot: Slot) -> None:
        """Runs the claim, unless it was given back while it waited for a thread, or will be because this child lacks
        what it may need."""
        if self._wear.exhausted is not None:
            return
        try:
            interrupts = self._loop.interrupts() if slot.is_async else ThreadInterrupts()
        except (OSError, RuntimeError):
            log.exception("event_loop_not_started")
            return
        taken_at = time.monotonic()
        if not self._table.begin(slot, interrupts):
            return
        assert slot.work is not None
        attempt = self._attempt(slot, slot.work, interrupts)
        if isinstance(interrupts, LoopInterrupts):
            self._loop.start(attempt)
            return
        try:
            _run_through(attempt)
        finally:
            self._table.freed(slot, time.monotonic() - taken_at)

    async def _attempt(self, slot: Slot, work: Claimed, interrupts: ThreadInterrupts | LoopInterrupts) -> None:
        scratch = scratch_of(work, self._services.temp_dir)
        self._before(slot, work)
        leave_copy()
        failpoint("effect.before")
        started = time.monotonic()
        try:
            outcome = await self._outcome(work, slot.limits, started, interrupts, scratch)
        except BaseException as e:  # noqa: BLE001 - the claim must end, whatever happened
            outcome = self._failed(work, slot.limits, e, str)
        leave_copy()
        if outcome is None:
            return
        failpoint("effect.after")
        ended = time.monotonic()
        self._wear.look_after_task(ended - started)
        if not slot.is_async or self._table.running == 1:
            self._tell_leftovers(slot, work)
        self._table.finished(slot, ended - started)
        self._records.end(End(slot, outcome, ended - started, ended))
        if scratch.is_made:
            await self._remove(scratch, slot)
        # The outcome is in the writer's hands: a hook that takes long delays nothing but its own thread.
        if self._hooks.watch_end(outcome):
            self._hooks.after_run(Run(work, ended - started), outcome)
            leave_copy()

    async def _remove(self, scratch: Scratch, slot: Slot) -> None:
        """After its outcome is in the writer's hands, which it must not delay. Not on the event loop."""
        if slot.is_async:
            with suppress(RuntimeError):  # no thread is left: it goes with the child's directory
                await asyncio.to_thread(scratch.remove)
        else:
            scratch.remove()
        leave_copy()

    def _tell_leftovers(self, slot: Slot, work: Claimed) -> None:
        """Of coroutines only where no other one runs: theirs start in the same thread."""
        for left in self._leftovers.of_this_thread():
            log.warning("program_left", task_id=str(work.id), task_name=work.name, pid=left.pid, command=left.name)
            message = f"The task has ended, and left behind {left}, which ends with its process."
            self._records.note(slot.task_id, slot.claim, "log", {"message": message, "level": "warning"})

    def _before(self, slot: Slot, work: Claimed) -> None:
        """Outside of `interrupts.call`, so that nothing is raised into a hook."""
        if not self._hooks.watch_begins:
            return
        began = time.monotonic()
        self._hooks.before_run(Run(work))
        if time.monotonic() - began > _NOTICEABLE_SECONDS:
            self._table.begin_again(slot)  # the time of hooks counts against no limit of the task

    async def _outcome(
        self,
        work: Claimed,
        limits: Limits,
        started: float,
        interrupts: ThreadInterrupts | LoopInterrupts,
        scratch: Scratch,
    ) -> Outcome | None:
        """None where another task has broken the child, and may have raised into this one: that is no outcome of it,
        and its claim ends with the child."""
        task_type = self._skills.catalogue[work.name]
        function = task_type.function
        assert function is not None
        storage, shield = None, None
        if isinstance(interrupts, ThreadInterrupts):
            storage, shield = ShieldedStorage(self._services.storage, interrupts), interrupts.shield
        prepared = prepare(
            work,
            task_type,
            self._skills.cipher,
            self._services,
            self._records,
            settings=self._skills.settings.get(work.name),
            soft_deadline=started + limits.soft_seconds,
            interrupts=interrupts,
            storage=storage,
            shield=shield,
            scratch=scratch,
        )
        if isinstance(prepared, Failed):
            return prepared
        params, context = prepared
        leave_copy()
        with current(context):
            try:
                if isinstance(interrupts, LoopInterrupts):
                    returned = await interrupts.call(function(params, context))
                else:
                    returned = interrupts.call(function, params, context)
                is_partial = interrupts.met_soft_limit
                return outcomes.of_return(task_type, returned, partial=is_partial, redact=context.redact)
            except BaseException as e:  # noqa: BLE001 - SystemExit, CancelledError and interrupts are outcomes too
                if shield is not None and self._may_be_of_another(e):
                    return None
                return self._failed(work, limits, e, context.redact)

    def _may_be_of_another(self, error: BaseException) -> bool:
        """Code that raises such an exception into all threads of its process breaks the child at the same time."""
        if issubclass(type(error), Exception | Interrupt):
            return False
        leave_copy()
        return self._table.broken.wait(SHOWS_WITHIN_SECONDS)

    def _failed(self, work: Claimed, limits: Limits, error: BaseException, redact: Redact) -> Outcome:
        task_type = self._skills.catalogue[work.name]
        error = outcomes.root_of(error)
        is_late = issubclass(type(error), SoftTimeLimitExceeded)
        if is_late and limits.soft_expires:
            return outcomes.expired()
        return outcomes.of_error(
            error,
            task_type.retry,
            failures=work.failures + 1,
            max_attempts=work.max_attempts,
            redact=redact,
            limit_seconds=limits.soft_seconds if is_late else None,
            vocabulary=task_type.vocabulary,
        )


def _run_through(attempt: Coroutine[Any, Any, None]) -> None:
    """In a thread an attempt awaits nothing: its first step is all of it."""
    try:
        attempt.send(None)
    except StopIteration:
        return
    with suppress(StopIteration):
        attempt.throw(RuntimeError("an attempt in a thread awaited something"))  # its claim ends all the same
