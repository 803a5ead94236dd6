"""Spans: of a request, of a task's publication, and of each of its attempts, one trace from the request on.

A task's stored `traceparent` is the span that published it, so that no later write is needed: each attempt is a child
of that span, in whatever process it runs. The span id of an attempt follows from task and attempt, so that the next one
can link to it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ..domain.new_tasks import NewTask
from ..version import __version__
from .losses import Losses
from .span_export import SpanQueue, span_queue
from .trace_context import attempt_span_id

SYSTEM = "taskyard"
MAX_TEXT = 1000
MAX_ATTRIBUTES = 64
# What the span of a run says itself.
_RESERVED_NAMES = {"error", "request.id"}
_RESERVED_PREFIXES = ("task.", "messaging.", "error.")
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"}
_NO_CONTEXT = Context()

_next_span_id: ContextVar[int | None] = ContextVar("taskyard_next_span_id", default=None)


class Ids(RandomIdGenerator):
    """Of a provider: the ids of attempts are chosen, the others random."""

    def generate_span_id(self) -> int:
        return _next_span_id.get() or super().generate_span_id()


@contextmanager
def _with_id(span_id: int) -> Iterator[None]:
    token = _next_span_id.set(span_id)
    try:
        yield
    finally:
        _next_span_id.reset(token)


def traceparent_of(context: SpanContext) -> str:
    """W3C Trace Context."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def parent_of(traceparent: str | None) -> SpanContext | None:
    """`traceparent` is well-formed: the API takes no other."""
    if traceparent is None:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")[:4]
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _beneath(traceparent: str | None) -> Context:
    parent = parent_of(traceparent)
    return _NO_CONTEXT if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), _NO_CONTEXT)


@dataclass(frozen=True, slots=True)
class RequestSpan:
    """Of a request, until its answer begins: a stream of events goes on after that. It is sent once `answered`."""

    span: Span
    method: str

    @property
    def traceparent(self) -> str:
        return traceparent_of(self.span.get_span_context())

    @property
    def span_id(self) -> str:
        return f"{self.span.get_span_context().span_id:016x}"

    def answered(self, route: str | None, status: int) -> None:
        """`route` is a template, as /api/v1/tasks/{task_id}."""
        self.span.set_attribute("http.response.status_code", status)
        if route is not None:
            self.span.set_attribute("http.route", route)
            self.span.update_name(f"{self.method} {route}")
        if status >= 500:
            self.span.set_attribute("error.type", str(status))
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()


class Publication:
    """The spans of tasks that are being stored, and published with that: their outbox rows are in the same commit."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans

    def forget(self) -> None:
        self._spans = ()

    def end(self, error: BaseException | None = None) -> None:
        for span in self._spans:
            if error is not None:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
            span.end()


class RunSpan:
    """Of one attempt. It is the current span of its thread, or coroutine, until it ends there."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._left = MAX_ATTRIBUTES
        self._token: Token[Context] | None = contexts.attach(trace.set_span_in_context(span))
        context = span.get_span_context()
        self.traceparent = traceparent_of(context)
        self.trace_id, self.span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Those that the task sets; the span's own stay as they are."""
        for name, value in attributes.items():
            if name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIXES):
                continue
            if self._left <= 0:
                return
            self._left -= 1
            self._span.set_attribute(name, value)

    def end(self, outcome: str, **more: str) -> None:
        self._span.set_attribute("task.outcome", outcome)
        for name, value in more.items():
            self._span.set_attribute(f"task.{name}", value)
        self._leave()

    def failed(self, outcome: str, *, error_type: str, code: str, message: str) -> None:
        """`message` is a sentence without secrets."""
        told = message[:MAX_TEXT]
        self._span.set_attributes(
            {
                "error": True,
                "error.type": error_type,
                "error.code": code,
                "error.message": told,
                "task.outcome": outcome,
            }
        )
        self._span.set_status(Status(StatusCode.ERROR, told))
        self._leave()

    def _leave(self) -> None:
        self._span.end()
        if self._token is not None:
            contexts.detach(self._token)
            self._token = None


class Tracer:
    """Makes the spans of a process, and sends them."""

    def __init__(self, tracer: trace.Tracer, queue: SpanQueue | None = None, losses: Losses | None = None) -> None:
        self._tracer = tracer
        self._queue = queue
        self._losses = losses

    def request(self, method: str, path: str, *, scheme: str, traceparent: str | None, request_id: str) -> RequestSpan:
        known = method if method in _METHODS else "_OTHER"
        attributes = {
            "http.request.method": known,
            "url.path": path[:MAX_TEXT],
            "url.scheme": scheme,
            "request.id": request_id,
        }
        named = method if method in _METHODS else "HTTP"
        span = self._tracer.start_span(named, _beneath(traceparent), SpanKind.SERVER, attributes)
        return RequestSpan(span, named)

    @contextmanager
    def publishing(self, tasks: Sequence[NewTask]) -> Iterator[Publication]:
        """See `exports.publishing`."""
        publication = Publication(self._publish(tasks))
        try:
            yield publication
        except BaseException as e:
            publication.end(e)
            raise
        publication.end()

    def _publish(self, tasks: Sequence[NewTask]) -> list[Span]:
        spans = []
        for task in tasks:
            attributes = {**_of_message("publish", "send", task.queue, task.id), **_of_task(task.name, task.id)}
            if task.request_id is not None:
                attributes["request.id"] = task.request_id
            if task.schedule_id is not None:
                attributes["task.schedule_id"] = str(task.schedule_id)
            parent = _beneath(task.traceparent)
            span = self._tracer.start_span(f"publish {task.name}", parent, SpanKind.PRODUCER, attributes)
            task.traceparent = traceparent_of(span.get_span_context())
            spans.append(span)
        return spans

    def run(
        self, name: str, task_id: UUID, queue: str, attempt: int, *, traceparent: str | None, request_id: str | None
    ) -> RunSpan:
        attributes: dict[str, Any] = {
            **_of_message("run", "process", queue, task_id),
            **_of_task(name, task_id),
            "task.attempt": attempt,
        }
        if request_id is not None:
            attributes["request.id"] = request_id
        links = []
        parent = parent_of(traceparent)
        if attempt > 1 and parent is not None:
            before = SpanContext(
                parent.trace_id, attempt_span_id(task_id, attempt - 1), is_remote=True, trace_flags=parent.trace_flags
            )
            links.append(Link(before, {"task.attempt": attempt - 1}))
        with _with_id(attempt_span_id(task_id, attempt)):
            span = self._tracer.start_span(f"run {name}", _beneath(traceparent), SpanKind.CONSUMER, attributes, links)
        return RunSpan(span)

    def stop(self) -> None:
        """Sends what waits; takes as long as the receiver does."""
        if self._queue is not None:
            self._queue.shutdown()  # type: ignore[no-untyped-call]
        self.tell_losses()

    def tell_losses(self) -> None:
        if self._losses is not None:
            self._losses.tell()


def _of_message(name: str, kind: str, queue: str, task_id: UUID) -> dict[str, Any]:
    """OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
        "messaging.message.id": str(task_id),
    }


def _of_task(name: str, task_id: UUID) -> dict[str, Any]:
    return {"task.type": name, "task.id": str(task_id)}


def resource_of(service: str, process: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What OpenTelemetry's variables leave open: it would win over them."""
    pairs = environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    given = {pair.partition("=")[0].strip() for pair in pairs}
    if environment.get("OTEL_SERVICE_NAME"):
        given.add("service.name")
    own = {
        "service.name": f"taskyard-{service}",
        "service.version": __version__,
        "service.instance.id": process or f"{socket.gethostname()}:{os.getpid()}",
    }
    return {name: value for name, value in own.items() if name not in given}


def start_tracer(service: str, process: str = "") -> Tracer:
    """One that exports as OpenTelemetry's variables say. Its provider serves the whole process, libraries that tasks
    use among it."""
    queue, losses = span_queue()
    own = resource_of(service, process, os.environ)
    # `exports.Exports.stop` ends it, within a bound; the exit handler of the provider has none.
    provider = TracerProvider(resource=Resource.create(own), id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(queue)
    trace.set_tracer_provider(provider)
    return Tracer(provider.get_tracer("taskyard"), queue, losses)
