"""The runner: one claimed task, from its stored parameters to an outcome in the writer's hands.

Dramatiq calls `Runner.run` in one of its threads with the slot of a claim. It raises nothing: Dramatiq would log the
exception and acknowledge all the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import structlog

from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.domain.tasks import Cancelled, Failed, Outcome, Released, RetryIn, Succeeded
from taskyard.failpoints import failpoint
from taskyard.lifecycle.claim import Claimed
from taskyard.running import outcomes
from taskyard.running.attempt import Services, prepare
from taskyard.running.capture import current
from taskyard.running.context import Sink, trace_id_of

from .claim_table import ClaimTable, Slot
from .event_loop import EventLoop, LoopInterrupts
from .interrupts import ShieldedStorage, ThreadInterrupts
from .limits import Limits
from .skills import Skills
from .writer import End

log = structlog.stdlib.get_logger(__name__)


class Records(Sink, Protocol):
    """The child's writer."""

    def end(self, end: End) -> None: ...


class Runner:
    """One a child; `run` is called from all of its threads."""

    def __init__(self, skills: Skills, services: Services, table: ClaimTable, records: Records) -> None:
        self._skills = skills
        self._services = services
        self._table = table
        self._records = records
        self._loop = EventLoop()

    def run(self, slot: Slot) -> None:
        """Runs the claim, unless it was given back while it waited for a thread."""
        interrupts = self._loop.interrupts() if slot.is_async else ThreadInterrupts()
        if not self._table.begin(slot, interrupts):
            return
        assert slot.work is not None
        _log_start(slot.work)
        failpoint("effect.before")
        attempt = self._attempt(slot, slot.work, interrupts)
        if isinstance(interrupts, LoopInterrupts):
            self._loop.start(attempt)
            return
        try:
            attempt.send(None)
        except StopIteration:
            return  # in a thread an attempt awaits nothing: this step was all of it
        with suppress(StopIteration):
            attempt.throw(RuntimeError("an attempt in a thread awaited something"))  # its claim ends all the same

    async def _attempt(self, slot: Slot, work: Claimed, interrupts: ThreadInterrupts | LoopInterrupts) -> None:
        started = time.monotonic()
        try:
            outcome = await self._outcome(work, slot.limits, started, interrupts)
        except BaseException as e:  # noqa: BLE001 - the claim must end, whatever happened
            outcome = self._failed(work, slot.limits, e, str)
        failpoint("effect.after")
        ended = time.monotonic()
        self._table.finished(slot, ended - started)
        self._records.end(End(slot, outcome, ended - started, ended))
        _log_outcome(work, outcome, ended - started)

    async def _outcome(
        self, work: Claimed, limits: Limits, started: float, interrupts: ThreadInterrupts | LoopInterrupts
    ) -> Outcome:
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
        )
        if isinstance(prepared, Failed):
            return prepared
        params, context = prepared
        with current(context):
            try:
                if isinstance(interrupts, LoopInterrupts):
                    returned = await interrupts.call(function(params, context))
                else:
                    returned = interrupts.call(function, params, context)
                return outcomes.of_return(task_type, returned, partial=interrupts.met_soft_limit)
            except BaseException as e:  # noqa: BLE001 - SystemExit, CancelledError and interrupts are outcomes too
                return self._failed(work, limits, e, context.redact)

    def _failed(self, work: Claimed, limits: Limits, error: BaseException, redact: Callable[[str], str]) -> Outcome:
        task_type = self._skills.catalogue[work.name]
        error = outcomes.root_of(error)
        is_late = isinstance(error, SoftTimeLimitExceeded)
        if is_late and limits.soft_expires:
            return outcomes.expired()
        try:
            return outcomes.of_error(
                error,
                task_type.retry,
                failures=work.failures + 1,
                max_attempts=work.max_attempts,
                redact=redact,
                limit_seconds=limits.soft_seconds if is_late else None,
                vocabulary=task_type.vocabulary,
            )
        except Exception:  # the error's own code fails
            log.exception("outcome_undecided", task_id=str(work.id))
            return outcomes.unspeakable(error)


def _names(work: Claimed) -> dict[str, Any]:
    """What every log line about a run carries; lines from within the run get the same from `capture.current`."""
    return {
        "task_id": str(work.id),
        "task_name": work.name,
        "attempt": work.attempt,
        "request_id": work.request_id,
        "trace_id": trace_id_of(work.traceparent),
    }


def _log_start(work: Claimed) -> None:
    # There are thousands a second, so a line that the level drops is not even built.
    if logging.getLogger(__name__).isEnabledFor(logging.INFO):
        log.info("task_started", **_names(work))


def _log_outcome(work: Claimed, outcome: Outcome, seconds: float) -> None:
    """One line a run."""
    say = log.info
    extra: dict[str, Any] = {}
    match outcome:
        case Succeeded():
            event = "task_succeeded"
        case RetryIn(fault, delay):
            event, say = "task_retrying", log.warning
            extra = {"code": fault.code, "retry_in_seconds": round(delay.total_seconds(), 3)}
        case Failed(fault):
            event, say = "task_failed", log.error
            extra = {"code": fault.code, "traceback": fault.traceback}
        case Cancelled():
            event = "task_cancelled"
        case Released(cause):
            event, extra = "task_released", {"cause": cause}
    if say is log.info and not logging.getLogger(__name__).isEnabledFor(logging.INFO):
        return
    say(event, **_names(work), seconds=round(seconds, 6), **extra)
