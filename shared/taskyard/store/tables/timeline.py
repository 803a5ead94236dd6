"""A task's timeline: its attempts and events, numbered by one sequence so that they can be merged."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Sequence, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, metadata

timeline_seq = Sequence("timeline_seq", metadata=metadata)

task_attempt = Table(
    "task_attempt",
    metadata,
    Column("id", BigInteger, timeline_seq, primary_key=True, server_default=timeline_seq.next_value()),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column(
        "outcome", Text, nullable=False, comment="succeeded, failed, retrying, cancelled, released, crashed, suspected"
    ),
    Column("worker", Text),
    Column("queue", Text, nullable=False),
    Column("started_at", TIME),
    Column("finished_at", TIME, nullable=False, server_default=func.now()),
    Column("retry_at", TIME),
    Column("error", JSONB),
    Column("traceback", Text),
    Column("cause", Text, comment="what killed or released it"),
    Column("peak_memory_bytes", BigInteger),
    Index("ix_task_attempt_task", "task_id", "id"),
)

task_event = Table(
    "task_event",
    metadata,
    Column("id", BigInteger, timeline_seq, primary_key=True, server_default=timeline_seq.next_value()),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", TIME, nullable=False, server_default=func.now()),
    Column(
        "kind",
        Text,
        nullable=False,
        comment="stage, log, cancel_requested, cancelled, retried, put_off, expired, ...",
    ),
    Column("data", JSONB, nullable=False, server_default=text("'{}'")),
    Index("ix_task_event_task", "task_id", "id"),
)
