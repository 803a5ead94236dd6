"""Ids of traces and spans (W3C Trace Context), for what has no OpenTelemetry at hand."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID


def attempt_span_id(task_id: UUID, attempt: int) -> int:
    """The span id of an attempt: 64 bits of a hash, so that others can name it who have not seen the span."""
    digest = blake2b(task_id.bytes + attempt.to_bytes(8, "big", signed=True), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def trace_id_of(traceparent: str | None) -> str | None:
    """`00-<trace id>-<parent id>-<flags>`."""
    return traceparent[3:35] if traceparent else None
