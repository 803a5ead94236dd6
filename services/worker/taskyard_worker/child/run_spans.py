"""The spans of runs: the child's own hook where traces are on, and what tasks set on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from taskyard.domain.tasks import Cancelled, Failed, Fault, Outcome, Released, RetryIn, Succeeded
from taskyard.running.attributes import Attribute
from taskyard.running.hooks import Hook, Run

if TYPE_CHECKING:
    from taskyard.telemetry.spans import RunSpan, Tracer

_BOUND = ("span_id",)


class RunSpans(Hook):
    """It comes before all others: what they log and call belongs to the span."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[tuple[UUID, int], RunSpan] = {}

    def before_run(self, run: Run) -> None:
        span = self._tracer.run(
            run.name, run.task_id, run.queue, run.attempt, traceparent=run.traceparent, request_id=run.request_id
        )
        self._open[run.task_id, run.attempt] = span
        structlog.contextvars.bind_contextvars(span_id=span.span_id)

    def after_run(self, run: Run, outcome: Outcome) -> None:
        structlog.contextvars.unbind_contextvars(*_BOUND)
        span = self._open.pop((run.task_id, run.attempt), None)
        if span is None:
            return
        match outcome:
            case Succeeded():
                span.end("succeeded")
            case RetryIn(fault):
                _fail(span, "retrying", fault)
            case Failed(fault):
                _fail(span, "failed", fault)
            case Cancelled():
                span.end("cancelled")
            case Released(cause):
                span.end("released", released_because=cause)

    def set(self, task_id: UUID, attempt: int, attributes: Mapping[str, Attribute]) -> None:
        if (span := self._open.get((task_id, attempt))) is not None:
            span.set(attributes)

    def traceparent(self, task_id: UUID, attempt: int) -> str | None:
        span = self._open.get((task_id, attempt))
        return None if span is None else span.traceparent


def _fail(span: RunSpan, outcome: str, fault: Fault) -> None:
    span.failed(outcome, error_type=fault.type, code=fault.code, message=fault.message)
