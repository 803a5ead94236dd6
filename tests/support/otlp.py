"""A receiver of traces: a real HTTP server that speaks OTLP over HTTP and keeps the spans it got."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.fleet import wait_for
from tests.support.http_stand_in import Call, Reply, answering


@dataclass(frozen=True)
class Span:
    """Ids in hexadecimal; `links` are span ids; `seconds` is how long it took."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: list[str]
    attributes: dict[str, Any]
    status: str
    said: str
    service: str
    seconds: float


@dataclass
class Collector:
    """`url` is for OTEL_EXPORTER_OTLP_ENDPOINT. While `answer_now` is not set, no answer is given."""

    url: str
    spans: list[Span] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    answer_now: threading.Event = field(default_factory=threading.Event)

    def one(self, name: str, **attributes: Any) -> Span:
        """The span with this name and these attributes, which is waited for. `task_attempt` is `task.attempt`; names
        with a dot stay as they are."""
        wanted = {key if "." in key else key.replace("_", ".", 1): value for key, value in attributes.items()}

        def found() -> Span | None:
            return next((s for s in self.spans if s.name == name and wanted.items() <= s.attributes.items()), None)

        try:
            return wait_for(found, 45, f"the span {name} {wanted}")  # type: ignore[return-value]
        except AssertionError as e:
            raise AssertionError(f"{e}; there are {sorted(s.name for s in self.spans)}") from None


@contextmanager
def collector() -> Iterator[Collector]:
    def answer(call: Call) -> Reply:
        body = gzip.decompress(call.body) if call.headers.get("content-encoding") == "gzip" else call.body
        found.answer_now.wait(60)
        found.requests.append({"path": call.path, **call.headers})
        found.raw.append(body)
        found.spans += _spans(ExportTraceServiceRequest.FromString(body))
        return Reply(
            200, ExportTraceServiceResponse().SerializeToString(), (("Content-Type", "application/x-protobuf"),)
        )

    found = Collector("")
    found.answer_now.set()
    with answering(answer) as found.url:
        try:
            yield found
        finally:
            found.answer_now.set()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield Span(
                    name=span.name,
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    links=[link.span_id.hex() for link in span.links],
                    attributes=_attributes(span.attributes),
                    status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_").lower(),
                    said=span.status.message,
                    service=str(resource["service.name"]),
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    typed: list[KeyValue] = list(pairs)
    return {pair.key: _value(pair.value) for pair in typed}


_PLAIN: dict[str, Callable[[AnyValue], Any]] = {
    "string_value": lambda value: value.string_value,
    "bool_value": lambda value: value.bool_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: value.double_value,
    "array_value": lambda value: [_value(one) for one in value.array_value.values],
}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else _PLAIN[kind](value)
