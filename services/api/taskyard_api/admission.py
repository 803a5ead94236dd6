"""What of admission is HTTP: batches, pointers, rights and warnings. `taskyard.admission` does the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from taskyard.admission.admit import (
    QUEUE_NOT_ALLOWED,
    admit,
    check_change,
    repeated_keys,
    unknown_queue,
    unknown_type,
)
from taskyard.admission.bodies import StepBody, SubmitTask
from taskyard.admission.wishes import PlainWish, Served
from taskyard.catalogue.effort import Effort, NotNow, before_explaining, current, patterns_are_spent, spend
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.sizes import Size
from taskyard.domain.callbacks import Callback
from taskyard.domain.faults import MAX_FAULTS
from taskyard.domain.ids import new_id
from taskyard.domain.messages import Message, message
from taskyard.lifecycle.submit import NewTask

from .auth import Caller
from .bodies import ADDED_AT_REST, MAX_ADDED, Body
from .callbacks import Callbacks
from .change_models import ChangeTask
from .known_types import KnownTypes
from .queues import KnownQueues
from .refusals import Fault, Invalid, NoTaskTypes, TypeNotRegistered
from .requests import RequestContext

_ANYWHERE = Served()
_EXPLAINING_SECONDS = 1.0
# Validating the parameters of one task takes 0.3 s at the worst: 30 ms on the event loop.
_CHECKS_ON_THE_LOOP = 0.1
_MAX_CHECKS = 8
# In units of `patterns.check_pattern`: a few milliseconds on the event loop, and three quarters of a second off it.
_PATTERNS_ON_THE_LOOP = 25
_MAX_PATTERNS = 5_000
_TOO_MANY_PATTERNS = message("The patterns of this request take too long to check together: send fewer at once.")
_MAX_ADDED_A_TASK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the caller may not have meant, and that is no reason to refuse the submit."""

    code: str
    message: Message


@dataclass(frozen=True, slots=True)
class Admitted:
    tasks: list[NewTask]
    warnings: Sequence[Warned] = ()


@dataclass(frozen=True, slots=True)
class Flow:
    """The workflow whose steps are admitted, and the pointer to each of them."""

    id: UUID
    places: Sequence[str]


class Admission:
    def __init__(
        self,
        types: KnownTypes,
        cipher: Cipher,
        queues: KnownQueues,
        callbacks: Callbacks,
        *,
        life: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        make_id: Callable[[], UUID] = new_id,
    ) -> None:
        self._types = types
        self._cipher = cipher
        self._queues = queues
        self._callbacks = callbacks
        self._life = life
        self._now = now
        self._make_id = make_id

    async def require_type(self, name: str) -> None:
        """Raises TypeNotRegistered: for calls that submit a type of their own."""
        if self._types.registry.admitting(name) is None and (await self._types.fresh()).admitting(name) is None:
            raise TypeNotRegistered(name)

    async def admit(
        self,
        wanted: Sequence[SubmitTask | StepBody],
        context: RequestContext,
        body: Body,
        *,
        in_batch: bool = False,
        flow: Flow | None = None,
    ) -> Admitted:
        """All of them as tasks. Raises Invalid with what is wrong with any of them, QueueNotAllowed, and NoTaskTypes
        before any worker has registered."""
        registry = self._types.registry
        if not all(_is_settled(registry, item) for item in wanted):
            registry = await self._types.fresh()
            if registry.is_empty:
                raise NoTaskTypes
        missing: set[str] = set()
        for item in wanted:
            if (queue := item.queue) is not None:
                context.caller.require_queue(queue)
                if queue not in missing and not await self._queues.has(queue):
                    missing.add(queue)
        callbacks: Sequence[Callback | None] = ()
        if any(item.callback_url or item.callback_on for item in wanted):
            callbacks = await self._callbacks.of(wanted, context.caller, in_batch=in_batch)
        call = partial(self._admit, wanted, registry, missing, callbacks, context, body.size, in_batch, flow)
        # What is wrong, or costly beyond its length, or grows, is found out on the way: nearly nothing is.
        if body.is_small:
            try:
                return spend(effort_on_the_loop(), call)
            except NotNow:
                pass
        with suppress(NotNow):
            effort = Effort(_MAX_CHECKS, _MAX_PATTERNS, ADDED_AT_REST, is_most=False)
            return await body.aside(partial(spend, effort, call))
        await body.reserve(min(MAX_ADDED, len(wanted) * _MAX_ADDED_A_TASK))
        return await body.aside(partial(spend, Effort(_MAX_CHECKS, _MAX_PATTERNS, MAX_ADDED), call))

    def admit_at_once(self, wanted: Sequence[SubmitTask], context: RequestContext, size: Size) -> Admitted | None:
        """The same for a small body, where nothing has to be looked up for it, and nothing explained; otherwise None.
        Spends the effort of its caller, where that has some. Raises Invalid, QueueNotAllowed."""
        registry = self._types.registry
        for item in wanted:
            if item.callback_url or item.callback_on or not _is_settled(registry, item):
                return None
            if item.queue is not None:
                context.caller.require_queue(item.queue)
                if not self._queues.knows(item.queue):
                    return None
        call = partial(self._admit, wanted, registry, (), (), context, size, False, None)
        try:
            return spend(current() or effort_on_the_loop(), call)
        except NotNow:
            return None

    async def check_change(self, wanted: ChangeTask, row: Mapping[Any, Any], caller: Caller) -> None:
        """Raises Invalid, and QueueNotAllowed."""
        name, version, now = row["name"], row["version"], self._now()
        registry, known = self._types.registry, True
        if wanted.queue is not None:
            caller.require_queue(wanted.queue)
            known = await self._queues.has(wanted.queue)
            if wanted.queue not in registry.queues_serving(name, version):
                registry = await self._types.fresh()
        run_at = wanted.run_at or (row["run_at"] if wanted.expires_at and row["run_at"] > now else None)
        faults = check_change(
            PlainWish(name=name, queue=wanted.queue, run_at=run_at, expires_at=wanted.expires_at),
            registry.admitting(name),
            caller,
            served=Served(known=None if known else (), by_type=registry.queues_serving(name, version)),
            now=now,
        )
        if faults:
            raise Invalid(faults)

    def _admit(
        self,
        wanted: Sequence[SubmitTask | StepBody],
        registry: TypeRegistry,
        missing: Collection[str],
        callbacks: Sequence[Callback | None],
        context: RequestContext,
        size: Size,
        in_batch: bool,
        flow: Flow | None,
    ) -> Admitted:
        """Raises NotNow where the effort that is spent does not reach for it."""
        faults: list[Fault] = []
        tasks: list[NewTask] = []
        now, until = self._now(), 0.0
        for n, item in enumerate(wanted):
            # There is enough to tell: a caller may have a thousand tasks explained, each in a quarter of a second.
            if faults:
                until = until or time.thread_time() + _EXPLAINING_SECONDS
                if len(faults) >= MAX_FAULTS or time.thread_time() > until:
                    break
            prefix = flow.places[n] if flow is not None else f"/tasks/{n}" if in_batch else ""
            served = _ANYWHERE if item.queue is None else _served(item, registry, missing)
            spec = registry.admitting(item.name)
            if spec is None:
                before_explaining()  # looking for the nearest names takes milliseconds
                if served.known is not None:
                    faults.append(unknown_queue(item.queue or "", prefix))
                faults.append(unknown_type(registry, item.name, prefix))
                continue
            made = admit(
                item,
                spec,
                context.caller,
                cipher=self._cipher,
                life=self._life,
                now=now,
                make_id=self._make_id if item.id is None else partial(UUID, int=item.id.int),
                served=served,
                prefix=prefix,
                parsed=True,
                size=size,
                request_id=context.request_id,
                traceparent=context.traceparent,
                callback=callbacks[n] if callbacks else None,
                workflow_id=None if flow is None else flow.id,
                takes_results=flow is not None,
            )
            if isinstance(made, NewTask):
                tasks.append(made)
            elif made[0].code == QUEUE_NOT_ALLOWED:
                context.caller.require_queue(item.queue or spec.queue)
            else:
                faults.extend(made)
            if patterns_are_spent():
                before_explaining()
                # An alternative, or `not`, may have made a valid value of one with a pattern that was not looked at.
                faults = faults or [Fault(f"{prefix}/params", _TOO_MANY_PATTERNS)]
                break
        if in_batch:
            faults.extend(repeated_keys(wanted))
            faults.extend(_repeated_ids(wanted))
        if faults:
            raise Invalid(faults[:MAX_FAULTS])
        return Admitted(tasks, _warnings(registry, tasks))


def effort_on_the_loop() -> Effort:
    return Effort(_CHECKS_ON_THE_LOOP, _PATTERNS_ON_THE_LOOP, ADDED_AT_REST, is_most=False, explain=False)


def _repeated_ids(wanted: Sequence[SubmitTask | StepBody]) -> list[Fault]:
    """Faults for chosen ids that occur twice in a batch."""
    seen: set[UUID] = set()
    faults = []
    for n, item in enumerate(wanted):
        if item.id is not None:
            if item.id in seen:
                faults.append(Fault(f"/tasks/{n}/id", message("Another task of this batch has the same id.")))
            seen.add(item.id)
    return faults


def _served(item: SubmitTask | StepBody, registry: TypeRegistry, missing: Collection[str]) -> Served:
    return Served(known=() if item.queue in missing else None, by_type=registry.queues_serving(item.name))


def _is_settled(registry: TypeRegistry, item: SubmitTask | StepBody) -> bool:
    """Whether nothing would be refused that a worker may have registered a moment ago."""
    spec = registry.admitting(item.name)
    if spec is None:
        return False
    if item.queue is None or item.queue == spec.queue:
        return True
    serving = registry.queues_serving(item.name)
    return not serving or item.queue in serving


def _warnings(registry: TypeRegistry, tasks: Sequence[NewTask]) -> Sequence[Warned]:
    """One for each type and queue without a live worker."""
    idle = {(task.name, task.queue): None for task in tasks if task.queue not in registry.queues_serving(task.name)}
    return [
        Warned(
            "no_live_worker",
            message("No live worker runs {name} on the queue {queue}: the task waits for one.", name=name, queue=queue),
        )
        for name, queue in idle
    ]
