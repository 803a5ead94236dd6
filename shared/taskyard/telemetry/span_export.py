"""Spans on their way out: in batches, from a thread of their own, out of a queue with a bound.

A receiver that is away or slow costs spans and nothing else. How many is logged once a minute at most, in place of the
lines that OpenTelemetry writes for each batch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from .losses import Losses

# They tell of each batch that is lost, and of each attempt to send one.
_NOISY = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")


class Export(SpanExporter):
    """Passes batches on, and counts what is lost."""

    def __init__(self, exporter: SpanExporter, losses: Losses) -> None:
        self._exporter = exporter
        self._losses = losses
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever its libraries raise, the spans are lost and the thread goes on
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self._losses.lost(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class SpanQueue(BatchSpanProcessor):
    """OpenTelemetry's processor, which drops the oldest spans where its queue is full, and counts what it drops."""

    def __init__(self, export: Export, losses: Losses) -> None:
        super().__init__(export)
        self._export_of = export
        self._losses = losses
        self._most: int = self._default_max_queue_size()  # type: ignore[no-untyped-call]
        self._given = self._dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        if context is not None and context.trace_flags.sampled:
            # Threads may count over each other: it is how many, roughly.
            self._given += 1
            if self._given - self._dropped - self._export_of.taken > self._most:
                self._dropped += 1
                self._losses.lost(1)
        super().on_end(span)


def span_queue() -> tuple[SpanQueue, Losses]:
    """One that sends to where OpenTelemetry's variables say."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    losses = Losses("spans_lost", "spans")
    return SpanQueue(Export(OTLPSpanExporter(), losses), losses), losses
