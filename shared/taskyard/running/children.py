"""What running tasks submit, admitted as what comes over HTTP is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ..admission.admit import QUEUE_NOT_ALLOWED, QUEUE_NOT_SERVED, UNKNOWN_QUEUE, admit
from ..admission.parameters import PARAMS_TOO_LARGE
from ..admission.wishes import PlainCaller, PlainWish, Served
from ..catalogue.compiled import CompiledSpec, compile_spec
from ..catalogue.near import near_names
from ..catalogue.secrets import Cipher
from ..catalogue.spec import spec_of
from ..catalogue.types import Catalogue, TaskType
from ..domain.errors import TaskError
from ..domain.faults import Fault
from ..domain.ids import child_id, new_id
from ..domain.messages import Series, message
from ..domain.pointers import pointer
from ..domain.references import marked
from ..lifecycle.submit import NewTask
from .child import Child
from .context import TaskContext
from .reasons import at_place
from .registered import AGAIN_SECONDS, Registered

Admit = Callable[[TaskContext, Child], NewTask]

_MAX_TOLD = 20
_NO_NAMES = {"phrase": "none"}


class Children:
    """A child's type is the one that the task named by its function, else that of the catalogue, else what the ledger
    has of its name: the newest version that a live worker runs. It may be sent to the queues of `catalogue`, to
    `queues`, and to those that the ledger has. Without `ledger` there are no others."""

    def __init__(
        self,
        catalogue: Catalogue,
        cipher: Cipher,
        *,
        queues: Collection[str],
        life: timedelta,
        ledger: Registered | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._cipher = cipher
        self._queues = frozenset({*queues, *(task_type.queue for task_type in catalogue)})
        self._life = life
        self._ledger = ledger
        # With the type itself, so that its id is not given to another one.
        self._specs: dict[int, tuple[TaskType[Any, Any], CompiledSpec]] = {}

    def admit(self, parent: TaskContext, child: Child) -> NewTask:
        """The child as it is stored.

        Raises TaskError, which no other attempt would mend, for what the API would refuse. Raises SpecRefused where the
        platform takes no such type, SecretsUnreadable where a parameter is secret and there is no key, and
        LedgerUnavailable where the ledger has to be asked and PostgreSQL is away. Raises ValueError for a reference in
        a step that is added to a workflow.
        """
        spec = self._spec(child)
        wish = PlainWish(
            name=spec.name,
            params=child.params,
            queue=child.queue,
            delay_seconds=child.delay_seconds or None,
            tags=child.tags,
        )
        served = self._served(spec, child.queue, parent.allowed_queues)
        made = admit(
            wish,
            spec,
            PlainCaller(parent.submitted_by, parent.allowed_queues),
            cipher=self._cipher,
            make_id=new_id if child.key is None else partial(child_id, parent.task_id, child.key),
            life=self._life,
            now=datetime.now(UTC),
            served=served,
            request_id=parent.request_id,
            traceparent=parent.traceparent,
            parent_id=parent.task_id,
            workflow_id=parent.workflow_id if child.into_workflow else None,
        )
        if isinstance(made, NewTask):
            if child.into_workflow and (found := next(marked(made.params), None)) is not None:
                raise ValueError(
                    "into_workflow: a step that is added takes no results by reference:"
                    f" {pointer(found[0])} has $result. Give it the value itself"
                )
            return made
        raise refusal(
            made, spec, spec.queue if child.queue is None else child.queue, served.told_to(parent.allowed_queues)
        )

    def _spec(self, child: Child) -> CompiledSpec:
        kind = child.task_type
        if not isinstance(kind, str):
            return self._declared(kind)
        if kind in self._catalogue:
            return self._declared(self._catalogue[kind])
        found = None if self._ledger is None else self._ledger.of(kind).admitting(kind)
        if found is None:
            names = {*self._catalogue.names, *(() if self._ledger is None else self._ledger.names())}
            near = ", ".join(near_names(kind, sorted(names)))
            raise TaskError("unknown_task_type", retryable=False, name=repr(kind[:100]), near=near or _NO_NAMES)
        return found

    def _declared(self, task_type: TaskType[Any, Any]) -> CompiledSpec:
        kept = self._specs.get(id(task_type))
        if kept is None:
            kept = self._specs[id(task_type)] = (task_type, compile_spec(spec_of(task_type)))
        return kept[1]

    def _served(self, spec: CompiledSpec, queue: str | None, allowed: Collection[str] | None) -> Served:
        if queue is None or (allowed is not None and queue not in allowed):
            return Served()
        if queue not in self._queues and (self._ledger is None or not self._ledger.has_queue(queue)):
            return Served(known=self._queues)
        if self._ledger is None or queue == spec.queue:
            return Served()
        serving = self._ledger.of(spec.name).queues_serving(spec.name, spec.version)
        if serving and queue not in serving:  # a worker may have registered a moment ago
            serving = self._ledger.of(spec.name, seconds=AGAIN_SECONDS).queues_serving(spec.name, spec.version)
        return Served(by_type=serving)


def refusal(faults: Sequence[Fault], spec: CompiledSpec, queue: str, serving: Sequence[str]) -> TaskError:
    """The error of the first fault, or of all that is wrong with the parameters. `serving`: the queues that the caller
    is told of."""
    code, named = faults[0].code, repr(queue[:100])
    if code == UNKNOWN_QUEUE:
        return TaskError("unknown_queue", retryable=False, queue=named)
    if code == QUEUE_NOT_ALLOWED:
        return TaskError("queue_not_allowed", retryable=False, queue=named)
    if code == QUEUE_NOT_SERVED:
        queues = ", ".join(serving) or "-"
        return TaskError("queue_not_served", retryable=False, name=spec.name, queue=named, queues=queues)
    if code == PARAMS_TOO_LARGE:
        return TaskError("params_too_large", retryable=False, name=spec.name)
    told = Series.of(at_place(fault.pointer, fault.message) for fault in faults[:_MAX_TOLD])
    reason = message("{name} says: {faults}", name=spec.name, faults=told)
    return TaskError("params_invalid", retryable=False, reason=reason)
