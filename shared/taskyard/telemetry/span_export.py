"""Spans on their way out: in batches, from a thread of their own, out of a queue with a bound.

A receiver that is away or slow costs spans and nothing else. How many is logged once a minute at most, in place of the
lines that OpenTelemetry writes for each batch.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from .losses import Losses
from .trace_variables import batch_of, queue_of

# They tell of each batch that is lost, and of each attempt to send one.
_NOISY = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")


class Export(SpanExporter):
    """Passes batches on, and counts what is lost."""

    def __init__(self, exporter: SpanExporter, losses: Losses) -> None:
        self._exporter = exporter
        self._losses = losses
        self.taken = 0
        self.is_closed = False
        """Nothing is sent, nor are connections touched."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        if self.is_closed:
            return SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever its libraries raise, the spans are lost and the thread goes on
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self._losses.lost(len(spans))
        return result

    def shutdown(self) -> None:
        if not self.is_closed:
            self._exporter.shutdown()


class SpanQueue(BatchSpanProcessor):
    """OpenTelemetry's processor, which drops the oldest spans where its queue is full, and counts what it drops."""

    def __init__(self, export: Export, losses: Losses) -> None:
        self._most = queue_of(os.environ)
        super().__init__(export, max_queue_size=self._most, max_export_batch_size=batch_of(os.environ))
        self._export_of = export
        self._losses = losses
        self._given = self._dropped = 0

    def end_in_copy(self) -> None:
        """In a copy that `os.fork()` made: ends the thread that the SDK starts in it. The connections and their locks
        are those of the process that was copied."""
        self._export_of.is_closed = True
        self.shutdown()  # type: ignore[no-untyped-call]

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
    queue = SpanQueue(Export(OTLPSpanExporter(), losses), losses)
    os.register_at_fork(after_in_child=queue.end_in_copy)  # after the SDK's own, which starts the thread
    return queue, losses
