"""The runner: one claimed task, from its stored parameters to an outcome in the writer's hands.

Dramatiq calls `Runner.run` in one of its threads with the slot of a claim. Nothing gets out of it: an
exception that reached Dramatiq would be logged there and acknowledged all the same.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from taskyard.catalogue.secrets import Cipher, SecretsUnreadable, revealed
from taskyard.catalogue.types import Catalogue, TaskType
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.domain.tasks import Cancelled, Failed, Outcome, Released, RetryIn, Succeeded
from taskyard.failpoints import failpoint
from taskyard.lifecycle.claim import Claimed
from taskyard.settings import Settings
from taskyard.storage.interface import Storage

from . import outcomes
from .capture import current
from .context import Sink, Submitter, TaskContext, trace_id_of
from .desk import Desk, Slot
from .implementations import Function
from .interrupt import Guard, ShieldedStorage
from .limits import Limits
from .loop import Loop, LoopGuard
from .writer import End

log = structlog.stdlib.get_logger(__name__)


class Ends(Protocol):
    def end(self, end: End) -> None: ...


class Runner:
    """All that a run needs, made once a child."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        functions: Mapping[str, Function],
        cipher: Cipher,
        settings: Settings,
        storage: Storage,
        connect: Callable[[], AbstractContextManager[Connection]],
        submitter: Submitter,
        sink: Sink,
        desk: Desk,
        ends: Ends,
    ) -> None:
        self._catalogue = catalogue
        self._functions = functions
        self._cipher = cipher
        self._settings = settings
        self._storage = storage
        self._connect = connect
        self._submitter = submitter
        self._sink = sink
        self._desk = desk
        self._ends = ends
        self._async = {name for name, f in functions.items() if inspect.iscoroutinefunction(f)}
        self._loop = Loop()

    def is_async(self, name: str) -> bool:
        return name in self._async

    def run(self, slot: Slot) -> None:
        """Runs the claim, unless it was given back while it waited for a thread."""
        guard = self._loop.guard() if slot.is_async else Guard()
        if not self._desk.begin(slot, guard):
            return
        assert slot.work is not None
        _say_started(slot.work)
        failpoint("effect.before")
        if isinstance(guard, LoopGuard):
            self._loop.start(self._run_async(slot, slot.work, guard))
            return
        started = time.monotonic()
        try:
            outcome = self._outcome(slot.work, slot.limits, started, guard)
        except BaseException as e:  # noqa: BLE001 - whatever it is, the claim must come to an end
            outcome = self._failed(slot.work, slot.limits, e, str)
        self._finished(slot, slot.work, outcome, started)

    def _outcome(self, work: Claimed, limits: Limits, started: float, guard: Guard) -> Outcome:
        task_type = self._catalogue[work.name]
        prepared = self._prepare(work, task_type, started + limits.soft_seconds, guard)
        if isinstance(prepared, Failed):
            return prepared
        params, context = prepared
        with current(context):
            try:
                returned = guard.call(self._functions[work.name], params, context)
                return outcomes.of_return(task_type, returned, partial=guard.met_soft_limit)
            except BaseException as e:  # noqa: BLE001 - SystemExit and interrupts are outcomes too
                return self._failed(work, limits, e, context.redact)

    async def _run_async(self, slot: Slot, work: Claimed, guard: LoopGuard) -> None:
        started = time.monotonic()
        try:
            outcome = await self._outcome_async(work, slot.limits, started, guard)
        except BaseException as e:  # noqa: BLE001
            outcome = self._failed(work, slot.limits, e, str)
        self._finished(slot, work, outcome, started)

    async def _outcome_async(self, work: Claimed, limits: Limits, started: float, guard: LoopGuard) -> Outcome:
        task_type = self._catalogue[work.name]
        prepared = self._prepare(work, task_type, started + limits.soft_seconds, guard)
        if isinstance(prepared, Failed):
            return prepared
        params, context = prepared
        with current(context):
            try:
                returned = await guard.call(self._functions[work.name](params, context))
                return outcomes.of_return(task_type, returned, partial=guard.met_soft_limit)
            except BaseException as e:  # noqa: BLE001 - a CancelledError of its own making too
                return self._failed(work, limits, e, context.redact)

    def _prepare(
        self, work: Claimed, task_type: TaskType[Any, Any], soft_deadline: float, guard: Guard | LoopGuard
    ) -> tuple[Any, TaskContext] | Failed:
        try:
            params = task_type.read(work.params, self._cipher)
        except (ValidationError, SecretsUnreadable) as e:
            outcome = outcomes.unreadable(e)
            assert isinstance(outcome, Failed)
            return outcome
        context = TaskContext(
            task_id=work.id,
            claim=work.claim,
            name=work.name,
            attempt=work.attempt,
            settings=self._settings,
            storage=ShieldedStorage(self._storage, guard) if isinstance(guard, Guard) else self._storage,
            sink=self._sink,
            submitter=self._submitter,
            connect=self._connect,
            soft_deadline=soft_deadline,
            tags=work.tags,
            request_id=work.request_id,
            traceparent=work.traceparent,
            submitted_by=work.submitted_by,
            allowed_queues=work.allowed_queues,
            redact=outcomes.strike_out(list(revealed(params))),
            interrupts=guard,
            shield=guard.shield if isinstance(guard, Guard) else nullcontext(),
        )
        return params, context

    def _failed(self, work: Claimed, limits: Limits, error: BaseException, redact: Callable[[str], str]) -> Outcome:
        policy = self._catalogue[work.name].retry
        error = outcomes.root_of(error)
        budget = {"failures": work.failures + 1, "max_attempts": work.max_attempts}
        try:
            if isinstance(error, SoftTimeLimitExceeded):
                if limits.soft_expires:
                    return outcomes.expired()
                return outcomes.of_limit(error, limits.soft_seconds, policy, **budget, redact=redact)
            return outcomes.of_error(error, policy, **budget, redact=redact)
        except Exception:  # an error that cannot even say what it is
            log.exception("outcome_undecided", task_id=str(work.id))
            return outcomes.unspeakable(error)

    def _finished(self, slot: Slot, work: Claimed, outcome: Outcome, started: float) -> None:
        failpoint("effect.after")
        ended = time.monotonic()
        self._desk.finished(slot, ended - started)
        self._ends.end(End(slot, outcome, ended - started, ended))
        _say(work, outcome, ended - started)


def _names(work: Claimed) -> dict[str, Any]:
    """What every line about a run says; lines inside of it have the same from `capture.current`."""
    return {
        "task_id": str(work.id),
        "task_name": work.name,
        "attempt": work.attempt,
        "request_id": work.request_id,
        "trace_id": trace_id_of(work.traceparent),
    }


def _say_started(work: Claimed) -> None:
    # Thousands a second: nothing is put together for a line that nobody wants.
    if logging.getLogger(__name__).isEnabledFor(logging.INFO):
        log.info("task_started", **_names(work))


def _say(work: Claimed, outcome: Outcome, seconds: float) -> None:
    """One line a run, at a level that fits."""
    say = log.info
    extra: dict[str, Any] = {}
    match outcome:
        case Succeeded():
            event = "task_succeeded"
        case RetryIn(fault, delay):
            event, extra = (
                "task_retrying",
                {"code": fault.code, "retry_in_seconds": round(delay.total_seconds(), 3)},
            )
            say = log.warning
        case Failed(fault):
            event, extra = "task_failed", {"code": fault.code, "traceback": fault.traceback}
            say = log.error
        case Cancelled():
            event = "task_cancelled"
        case Released(cause):
            event, extra = "task_released", {"cause": cause}
    if say is log.info and not logging.getLogger(__name__).isEnabledFor(logging.INFO):
        return
    say(event, **_names(work), seconds=round(seconds, 6), **extra)
