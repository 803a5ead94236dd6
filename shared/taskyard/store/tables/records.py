"""What imports and synchronisations bring in."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, created_at, metadata

record = Table(
    "record",
    metadata,
    Column("owner", Text, primary_key=True, comment="key:NAME of a restricted API key; empty: all others'"),
    Column("collection", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("data", JSONB, nullable=False),
    Column("task_id", Uuid, nullable=False, comment="the task that wrote it last"),
    created_at(),
    Column("updated_at", TIME, nullable=False, server_default=func.now(), comment="when its data changed"),
)
