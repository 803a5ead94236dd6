"""Workflows on their way in: the graph checked, the steps admitted, all of it committed at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import falcon.asgi
from pydantic import ValidationError
from sqlalchemy import Connection

from taskyard.admission.bodies import StepBody, WorkflowFrame
from taskyard.admission.field_faults import faults_of
from taskyard.admission.graphs import Before, leading, ordered, references
from taskyard.domain.errors import Overloaded, Refused
from taskyard.domain.faults import MAX_FAULTS
from taskyard.domain.ids import new_id
from taskyard.domain.messages import message
from taskyard.domain.pointers import pointer
from taskyard.domain.references import STEP_NAME, Place, Reference, TakenResult
from taskyard.domain.workflows import NewStep, NewWorkflow, OnFailure
from taskyard.lifecycle import workflows
from taskyard.lifecycle.committed import Committed
from taskyard.lifecycle.idempotency import IdempotencyKey, StoredAnswer

from .admission import Admission, Admitted, Flow
from .bodies import Body, validated
from .callbacks import Callbacks
from .idempotency import answered_before, once_with_the_change
from .ledger_pool import LedgerPool
from .refusals import Fault, Invalid
from .requests import Request
from .submission import Submission

_STEP_NAME = re.compile(STEP_NAME)
_NAME = message("The name of a step has 1 to 64 letters, digits, `_` and `-`.")


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow whose graph is one. `steps` are in an order in which they can run; `taken` are the references in the
    parameters of each."""

    frame: WorkflowFrame
    steps: Mapping[str, StepBody]
    leads: Mapping[str, Sequence[str]]
    taken: Mapping[str, Sequence[tuple[Place, Reference]]]


def graph_of(value: Any) -> Graph:
    """Raises Invalid."""
    frame = validated(WorkflowFrame, value)
    steps = _steps_of(frame)
    needs = {name: step.needs for name, step in steps.items()}
    order = ordered(needs)
    if not all(isinstance(name, str) for name in order):
        raise Invalid([fault for fault in order if isinstance(fault, Fault)])
    names = [name for name in order if isinstance(name, str)]
    before, taken, faults = Before(needs, names), {}, list[Fault]()
    for name in names:
        taken[name], wrong = references(steps[name].params, name, before, steps)
        faults += wrong
    if faults:
        raise Invalid(faults[:MAX_FAULTS])
    return Graph(frame, {name: steps[name] for name in names}, leading(needs), taken)


def _steps_of(frame: WorkflowFrame) -> dict[str, StepBody]:
    """One after the other: of a model of all, pydantic would gather the faults of all."""
    made: dict[str, StepBody] = {}
    faults: list[Fault] = []
    for name, value in frame.steps.items():
        if not _STEP_NAME.fullmatch(name):
            faults.append(Fault("/steps", _NAME))
        try:
            made[name] = StepBody.model_validate(value)
        except ValidationError as e:
            faults += faults_of(e, pointer(("steps", name)))
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        raise Invalid(faults[:MAX_FAULTS])
    return made


class Flows:
    def __init__(self, admission: Admission, callbacks: Callbacks, submission: Submission, ledger: LedgerPool) -> None:
        self._admission = admission
        self._callbacks = callbacks
        self._submission = submission
        self._ledger = ledger

    async def take(
        self,
        req: Request,
        resp: falcon.asgi.Response,
        key: IdempotencyKey | None,
        body: Body,
        answer: Callable[[Connection, NewWorkflow, Admitted], StoredAnswer],
    ) -> None:
        """Checks, admits, commits and answers. A refused request whose key was answered before gets the first answer.
        Raises Invalid, and what admission raises."""
        try:
            graph = await body.work(partial(graph_of, body.value))
            flow_id = new_id()
            places = [pointer(("steps", name)) for name in graph.steps]
            admitted = await self._admission.admit(
                [*graph.steps.values()], req.context, body, flow=Flow(flow_id, places)
            )
            (callback,) = await self._callbacks.of([graph.frame], req.context.caller, in_batch=False)
        except Overloaded:
            raise  # no judgement on what was sent
        except Refused:
            if await answered_before(self._ledger, key, resp):
                return
            raise
        caller = req.context.caller
        flow = NewWorkflow(
            id=flow_id,
            name=graph.frame.name,
            on_failure=OnFailure(graph.frame.on_failure),
            steps=_linked(graph, admitted),
            callback=callback,
            request_id=req.context.request_id,
            traceparent=req.context.traceparent,
            submitted_by=caller.name,
            allowed_queues=None if caller.queues is None else sorted(caller.queues),
        )

        def write(conn: Connection) -> Committed[StoredAnswer]:
            started = workflows.start(conn, flow)
            return started.answering(answer(conn, flow, admitted))

        await self._submission.watched(admitted.tasks, partial(once_with_the_change, self._ledger, key, resp, write))


def _linked(graph: Graph, admitted: Admitted) -> list[NewStep]:
    tasks = dict(zip(graph.steps, admitted.tasks, strict=True))
    return [
        NewStep(
            task=tasks[name],
            name=name,
            needs=[tasks[need].id for need in step.needs],
            leads_to=[tasks[after].id for after in graph.leads[name]],
            optional=step.optional,
            takes=[TakenResult(at, tasks[taken.step].id, taken.path) for at, taken in graph.taken[name]],
        )
        for name, step in graph.steps.items()
    ]
