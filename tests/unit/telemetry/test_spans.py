"""Spans and their queue, without a receiver."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from taskyard.domain.new_tasks import NewTask
from taskyard.telemetry.losses import Losses
from taskyard.telemetry.span_export import Export, SpanQueue
from taskyard.telemetry.spans import MAX_ATTRIBUTES, MAX_TEXT, Ids, Tracer, resource_of
from taskyard.telemetry.trace_context import attempt_span_id

TASK = UUID("01890000-0000-7000-8000-000000000001")
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(kept: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider(id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return Tracer(provider.get_tracer("tests"))


def new_task(traceparent: str | None = PARENT) -> NewTask:
    return NewTask(
        id=TASK, name="tests.one", queue="default", params={}, max_attempts=1, soft_timeout_seconds=1.0,
        hard_timeout_seconds=2.0, traceparent=traceparent,
    )  # fmt: skip


def test_a_task_is_stored_with_the_span_that_publishes_it(tracer: Tracer, kept: InMemorySpanExporter) -> None:
    task = new_task()
    with tracer.publishing([task]):
        stored = task.traceparent
    (span,) = kept.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (span.parent.span_id, span.context.trace_id) == (int("b" * 16, 16), int("a" * 32, 16))
    assert stored == f"00-{'a' * 32}-{span.context.span_id:016x}-01"


def test_nothing_is_told_of_tasks_that_were_stored_before(tracer: Tracer, kept: InMemorySpanExporter) -> None:
    with tracer.publishing([new_task()]) as publication:
        publication.forget()
    assert kept.get_finished_spans() == ()


def test_a_publication_that_fails_says_so(tracer: Tracer, kept: InMemorySpanExporter) -> None:
    with pytest.raises(ConnectionError), tracer.publishing([new_task()]):
        raise ConnectionError
    (span,) = kept.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ConnectionError"
    assert span.status.status_code is trace.StatusCode.ERROR


def test_an_attempt_has_the_span_id_that_the_next_one_links_to(tracer: Tracer, kept: InMemorySpanExporter) -> None:
    for attempt in (1, 2):
        tracer.run("tests.one", TASK, "default", attempt, traceparent=PARENT, request_id=None).end("succeeded")
    first, second = kept.get_finished_spans()
    assert first.context is not None
    assert first.context.span_id == attempt_span_id(TASK, 1)
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert not first.links


def test_a_run_is_the_current_span_until_it_ends(tracer: Tracer) -> None:
    before = trace.get_current_span()
    run = tracer.run("tests.one", TASK, "default", 1, traceparent=None, request_id=None)
    assert f"{trace.get_current_span().get_span_context().span_id:016x}" == run.span_id
    run.end("succeeded")
    assert trace.get_current_span() is before


def test_what_a_task_tells_its_span_is_bounded(tracer: Tracer, kept: InMemorySpanExporter) -> None:
    run = tracer.run("tests.one", TASK, "default", 1, traceparent=None, request_id=None)
    run.set({"task.id": "another", "messaging.system": "x", "error": False, "error.code": "y", "request.id": "z"})
    run.set({f"tests.n{n}": n for n in range(MAX_ATTRIBUTES + 20)})
    run.failed("failed", error_type="ValueError", code="x", message="y" * 5000)
    (span,) = kept.get_finished_spans()
    assert span.attributes is not None
    assert sum(name.startswith("tests.") for name in span.attributes) == MAX_ATTRIBUTES
    assert span.attributes["error.message"] == "y" * MAX_TEXT
    said = {name: span.attributes.get(name) for name in ("task.id", "messaging.system", "error.code", "request.id")}
    assert said == {"task.id": str(TASK), "messaging.system": "taskyard", "error.code": "x", "request.id": None}


def test_the_path_of_a_request_is_bounded_and_without_an_answer_nothing_is_sent(
    tracer: Tracer, kept: InMemorySpanExporter
) -> None:
    spans = [
        tracer.request("GET", "/" + "x" * 5000, scheme="http", traceparent=None, request_id=str(n)) for n in range(2)
    ]
    spans[0].answered(None, 404)
    (span,) = kept.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["url.path"] == "/" + "x" * (MAX_TEXT - 1)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("team=a,service.name = shop", "shop"),
        ("my.service.name=x", "taskyard-api"),
        ("note=service.name=x", "taskyard-api"),
    ],
)
def test_the_resource_says_what_is_given_and_the_rest_itself(
    monkeypatch: pytest.MonkeyPatch, given: str, name: str
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", given)
    assert Resource.create(resource_of("api", "api-1", os.environ)).attributes["service.name"] == name


class Held(SpanExporter):
    """Takes no span before it is told to."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.go_on, self.result = threading.Event(), result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go_on.wait(60)
        return self.result


@pytest.fixture
def queue_of_ten(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Held, Losses, trace.Tracer]]:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    held, losses = Held(SpanExportResult.FAILURE), Losses("spans_lost", "spans")
    queue = SpanQueue(Export(held, losses), losses)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    yield held, losses, provider.get_tracer("tests")
    held.go_on.set()
    provider.shutdown()


def test_spans_that_do_not_fit_or_do_not_arrive_are_counted_and_told_once_a_minute(
    queue_of_ten: tuple[Held, Losses, trace.Tracer],
) -> None:
    held, losses, tracer = queue_of_ten
    with structlog.testing.capture_logs() as lines:
        for _ in range(40):
            tracer.start_span("one").end()
        held.go_on.set()
        losses.lost(0)
        assert [line["event"] for line in lines] == ["spans_lost"]
        losses.tell()
    told = [line["spans"] for line in lines]
    assert len(told) == 2
    assert sum(told) >= 25, "40, of which ten wait and five are under way"
