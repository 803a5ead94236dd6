"""What of admission is HTTP: batches, pointers, rights and warnings. `taskyard.admission` does the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from taskyard.admission.admit import QUEUE_NOT_ALLOWED, admit, repeated_keys, unknown_type
from taskyard.admission.parameters import MAX_PARAMS_BYTES
from taskyard.admission.wishes import Served
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.secrets import Cipher
from taskyard.domain.ids import new_id
from taskyard.lifecycle.submit import NewTask

from .known_types import KnownTypes
from .models import SubmitTask
from .queues import KnownQueues
from .refusals import Fault, Invalid, NoTaskTypes, TypeNotRegistered
from .requests import RequestContext

_ANYWHERE = Served()


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the caller may not have meant, and that is no reason to refuse the submit."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Admitted:
    tasks: list[NewTask]
    warnings: Sequence[Warned] = ()


class Admission:
    def __init__(
        self,
        types: KnownTypes,
        cipher: Cipher,
        queues: KnownQueues,
        *,
        life: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        make_id: Callable[[], UUID] = new_id,
    ) -> None:
        self._types = types
        self._cipher = cipher
        self._queues = queues
        self._life = life
        self._now = now
        self._make_id = make_id

    async def require_type(self, name: str) -> None:
        """Raises TypeNotRegistered: for calls that submit a type of their own."""
        if self._types.registry.admitting(name) is None and (await self._types.fresh()).admitting(name) is None:
            raise TypeNotRegistered(name)

    async def admit(
        self, wanted: Sequence[SubmitTask], context: RequestContext, *, body_bytes: int, in_batch: bool = False
    ) -> Admitted:
        """All of them as tasks. Raises Invalid with everything that is wrong with any of them, QueueNotAllowed, and
        NoTaskTypes before any worker has registered."""
        registry = self._types.registry
        if not all(_is_settled(registry, item) for item in wanted):
            registry = await self._types.fresh()
            if registry.is_empty:
                raise NoTaskTypes
        faults: list[Fault] = []
        tasks: list[NewTask] = []
        now, measure = self._now(), body_bytes > MAX_PARAMS_BYTES
        for n, item in enumerate(wanted):
            prefix = f"/tasks/{n}" if in_batch else ""
            served = _ANYWHERE if item.queue is None else await self._served(item, item.queue, registry, context)
            spec = registry.admitting(item.name)
            if spec is None:
                if served.known is not None:
                    faults.append(Fault(f"{prefix}/queue", "There is no such queue.", "unknown_queue"))
                faults.append(unknown_type(registry, item.name, prefix))
                continue
            made = admit(
                item,
                spec,
                context.caller,
                cipher=self._cipher,
                life=self._life,
                now=now,
                make_id=self._make_id,
                served=served,
                prefix=prefix,
                parsed=True,
                measure=measure,
                request_id=context.request_id,
                traceparent=context.traceparent,
            )
            if isinstance(made, NewTask):
                tasks.append(made)
            elif made[0].code == QUEUE_NOT_ALLOWED:
                context.caller.require_queue(item.queue or spec.queue)
            else:
                faults.extend(made)
        if in_batch:
            faults.extend(repeated_keys(wanted))
        if faults:
            raise Invalid(faults)
        return Admitted(tasks, _warnings(registry, tasks))

    async def _served(self, item: SubmitTask, queue: str, registry: TypeRegistry, context: RequestContext) -> Served:
        context.caller.require_queue(queue)
        known = None if await self._queues.has(queue) else ()
        return Served(known=known, by_type=registry.queues_serving(item.name))


def _is_settled(registry: TypeRegistry, item: SubmitTask) -> bool:
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
        Warned("no_live_worker", f"No live worker runs {name} on the queue {queue}: the task waits for one.")
        for name, queue in idle
    ]
