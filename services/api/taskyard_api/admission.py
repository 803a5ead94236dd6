"""Admission: a submit becomes a task, with the defaults of its type, or is refused with everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue, TaskType, UnknownTaskType
from taskyard.domain.ids import new_id
from taskyard.lifecycle.submit import NewTask, Unique

from .auth import Caller
from .bodies import faults_of
from .models import MAX_PARAMS_BYTES, SubmitTask
from .queues import KnownQueues
from .refusals import Fault, Invalid
from .requests import RequestContext

_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class _Known:
    """A task type, with the defaults that a submit takes from it."""

    type: TaskType[Any, Any]
    max_attempts: int
    soft_seconds: float
    hard_seconds: float


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
        self.catalogue = catalogue
        self._cipher = cipher
        self._queues = queues
        self._life = life
        self._now = now
        self._make_id = make_id
        self._types = {
            name: _Known(
                catalogue[name],
                catalogue[name].retry.max_attempts,
                catalogue[name].soft_limit.total_seconds(),
                catalogue[name].hard_limit.total_seconds(),
            )
            for name in catalogue.names
        }

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
        now = self._now()
        for n, item in enumerate(wanted):
            prefix = f"/tasks/{n}" if in_batch else ""
            if item.queue is not None:
                await self._check_queue(item.queue, context.caller, prefix, faults)
            task = self._one(item, context, prefix, faults, now, measure=body_bytes > MAX_PARAMS_BYTES)
            if task is not None:
                context.caller.require_queue(task.queue)
                tasks.append(task)
        if in_batch:
            _check_unique(wanted, faults)
        if faults:
            raise Invalid(faults)
        return tasks

    async def _check_queue(self, queue: str, caller: Caller, prefix: str, faults: list[Fault]) -> None:
        caller.require_queue(queue)
        if not await self._queues.has(queue):
            faults.append(Fault(f"{prefix}/queue", "There is no such queue.", "unknown_queue"))

    def _one(
        self,
        item: SubmitTask,
        context: RequestContext,
        prefix: str,
        faults: list[Fault],
        now: datetime,
        *,
        measure: bool,
    ) -> NewTask | None:
        known = self._types.get(item.name)
        if known is None:
            faults.append(self._unknown(item.name, prefix))
            return None
        kind, before = known.type, len(faults)
        _check_times(item, prefix, faults, now)
        soft, hard = _limits(item, known, prefix, faults)
        params = self._params(kind, item.params, prefix, faults, measure=measure)
        if len(faults) > before or params is None:
            return None
        caller = context.caller
        return NewTask(
            id=self._make_id(),
            name=kind.name,
            queue=item.queue or kind.queue,
            params=params,
            version=kind.version,
            max_attempts=item.max_attempts or known.max_attempts,
            soft_timeout_seconds=soft,
            hard_timeout_seconds=hard,
            delay_seconds=item.delay_seconds,
            run_at=item.run_at,
            expires_at=item.expires_at,
            life_seconds=self._life.total_seconds(),
            tags=list(dict.fromkeys(item.tags)) if item.tags else [],
            on_cancel=item.on_cancel,
            unique=Unique(item.unique.key, item.unique.hold) if item.unique else None,
            request_id=context.request_id,
            traceparent=context.traceparent,
            submitted_by=caller.name,
            allowed_queues=None if caller.queues is None else sorted(caller.queues),
        )

    def _params(
        self,
        kind: TaskType[Any, Any],
        params: dict[str, Any],
        prefix: str,
        faults: list[Fault],
        *,
        measure: bool,
    ) -> dict[str, Any] | None:
        if measure and len(orjson.dumps(params)) > MAX_PARAMS_BYTES:
            limit = f"Parameters may be {MAX_PARAMS_BYTES} bytes at most; more belongs in a file."
            faults.append(Fault(f"{prefix}/params", limit, "params_too_large"))
            return None
        try:
            return kind.accept(params, self._cipher)
        except ValidationError as e:
            faults.extend(faults_of(e, f"{prefix}/params"))
            return None

    def _unknown(self, name: str, prefix: str) -> Fault:
        try:
            self.catalogue[name]
        except UnknownTaskType as e:
            return Fault(f"{prefix}/name", str(e), UnknownTaskType.code)
        raise AssertionError("unreachable")


def _check_times(item: SubmitTask, prefix: str, faults: list[Fault], now: datetime) -> None:
    due = now
    if item.run_at is not None:
        due = max(now, item.run_at)
        if item.delay_seconds is not None:
            faults.append(Fault(f"{prefix}/run_at", "Give run_at or delay_seconds, not both."))
        if abs(item.run_at - now) > _YEAR:
            faults.append(Fault(f"{prefix}/run_at", "Must be within a year."))
    elif item.delay_seconds:
        due = now + timedelta(seconds=item.delay_seconds)
    if item.expires_at is not None:
        if item.expires_at <= due:
            faults.append(Fault(f"{prefix}/expires_at", "Must be later than now and than the time it is due."))
        elif item.expires_at - now > 2 * _YEAR:
            faults.append(Fault(f"{prefix}/expires_at", "Must be within two years."))


def _limits(item: SubmitTask, known: _Known, prefix: str, faults: list[Fault]) -> tuple[float, float]:
    hard = item.hard_timeout_seconds or known.hard_seconds
    soft = item.soft_timeout_seconds
    if soft is None:
        return min(known.soft_seconds, hard), hard
    if soft > hard:
        message = f"Must not be above the hard limit, {hard:g} seconds."
        faults.append(Fault(f"{prefix}/soft_timeout_seconds", message))
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
