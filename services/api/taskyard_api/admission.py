"""Admission: a submit becomes a task, with the defaults of its type, or is refused with everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue, TaskType, UnknownTaskType
from taskyard.domain.ids import new_id
from taskyard.lifecycle.submit import NewTask, Unique

from .bodies import faults_of
from .models import MAX_PARAMS_BYTES, SubmitTask
from .queues import KnownQueues
from .refusals import Fault, Invalid
from .requests import RequestContext

_YEAR = timedelta(days=365)


class Admission:
    def __init__(
        self,
        catalogue: Catalogue,
        cipher: Cipher,
        queues: KnownQueues,
        *,
        life: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        make_id: Callable[[], UUID] = new_id,
    ) -> None:
        self._catalogue = catalogue
        self._cipher = cipher
        self._queues = queues
        self._life_seconds = life.total_seconds()
        self._now = now
        self._make_id = make_id

    async def admit(
        self,
        wanted: Sequence[SubmitTask],
        context: RequestContext,
        *,
        body_bytes: int,
        in_batch: bool = False,
    ) -> list[NewTask]:
        """All of them as tasks. Raises Invalid with everything that is wrong with any of them, and QueueNotAllowed."""
        faults: list[Fault] = []
        tasks: list[NewTask] = []
        now, measure = self._now(), body_bytes > MAX_PARAMS_BYTES
        for n, item in enumerate(wanted):
            found: list[Fault] = []
            if item.queue is not None:
                context.caller.require_queue(item.queue)
                if not await self._queues.has(item.queue):
                    found.append(Fault("/queue", "There is no such queue.", "unknown_queue"))
            task = self._one(item, context, found, now, measure=measure)
            if task is not None:
                context.caller.require_queue(task.queue)
                tasks.append(task)
            if found:
                prefix = f"/tasks/{n}" if in_batch else ""
                faults.extend(Fault(prefix + fault.pointer, fault.message, fault.code) for fault in found)
        if in_batch:
            _check_unique(wanted, faults)
        if faults:
            raise Invalid(faults)
        return tasks

    def _one(
        self, item: SubmitTask, context: RequestContext, faults: list[Fault], now: datetime, *, measure: bool
    ) -> NewTask | None:
        """None where there are faults; their pointers begin at the task."""
        try:
            kind = self._catalogue[item.name]
        except UnknownTaskType as e:
            faults.append(Fault("/name", str(e), e.code))
            return None
        if item.run_at is not None or item.expires_at is not None:
            _check_times(item, faults, now)
        soft, hard = _limits(item, kind, faults)
        if measure and len(orjson.dumps(item.params)) > MAX_PARAMS_BYTES:
            limit = f"Parameters may be {MAX_PARAMS_BYTES} bytes at most; more belongs in a file."
            faults.append(Fault("/params", limit, "params_too_large"))
            return None
        try:
            params = kind.accept(item.params, self._cipher)
        except ValidationError as e:
            faults.extend(faults_of(e, "/params"))
        if faults:
            return None
        caller = context.caller
        return NewTask(
            id=self._make_id(),
            name=kind.name,
            queue=item.queue or kind.queue,
            params=params,
            version=kind.version,
            max_attempts=item.max_attempts or kind.retry.max_attempts,
            soft_timeout_seconds=soft,
            hard_timeout_seconds=hard,
            delay_seconds=item.delay_seconds,
            run_at=item.run_at,
            expires_at=item.expires_at,
            life_seconds=self._life_seconds,
            tags=list(dict.fromkeys(item.tags)) if item.tags else [],
            on_cancel=item.on_cancel,
            unique=Unique(item.unique.key, item.unique.hold) if item.unique else None,
            request_id=context.request_id,
            traceparent=context.traceparent,
            submitted_by=caller.name,
            allowed_queues=None if caller.queues is None else sorted(caller.queues),
        )


def _check_times(item: SubmitTask, faults: list[Fault], now: datetime) -> None:
    due = now
    if item.run_at is not None:
        due = max(now, item.run_at)
        if item.delay_seconds is not None:
            faults.append(Fault("/run_at", "Give run_at or delay_seconds, not both."))
        if abs(item.run_at - now) > _YEAR:
            faults.append(Fault("/run_at", "Must be within a year."))
    elif item.delay_seconds:
        due = now + timedelta(seconds=item.delay_seconds)
    if item.expires_at is not None:
        if item.expires_at <= due:
            faults.append(Fault("/expires_at", "Must be later than now and than the time it is due."))
        elif item.expires_at - now > 2 * _YEAR:
            faults.append(Fault("/expires_at", "Must be within two years."))


def _limits(item: SubmitTask, kind: TaskType[Any, Any], faults: list[Fault]) -> tuple[float, float]:
    hard = item.hard_timeout_seconds or kind.hard_limit.total_seconds()
    soft = item.soft_timeout_seconds
    if soft is None:
        return min(kind.soft_limit.total_seconds(), hard), hard
    if soft > hard:
        message = f"Must not be above the hard limit, {hard:g} seconds."
        faults.append(Fault("/soft_timeout_seconds", message))
    return soft, hard


def _check_unique(wanted: Sequence[SubmitTask], faults: list[Fault]) -> None:
    seen: set[tuple[str, str]] = set()
    for n, item in enumerate(wanted):
        if item.unique is not None:
            key = (item.name, item.unique.key)
            if key in seen:
                message = "Another task of this batch has the same unique key."
                faults.append(Fault(f"/tasks/{n}/unique/key", message))
            seen.add(key)
