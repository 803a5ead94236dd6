"""Keys that make a submit unique or repeatable."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from .schema import created_at, metadata

unique_key = Table(
    "unique_key",
    metadata,
    Column("name", Text, primary_key=True, comment="the task type: keys of different types don't meet"),
    Column("key", Text, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("hold", Text, nullable=False),
    Index("ix_unique_key_task", "task_id"),
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("api_key_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of method, path and body"),
    Column("status", SmallInteger, comment="null while the first request is being answered"),
    Column("headers", JSONB),
    Column("answer", LargeBinary),
    created_at(),
    Index("ix_idempotency_key_created_at", "created_at"),
)
