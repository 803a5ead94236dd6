"""What is on its way to Redis: queued tasks to be announced, and the rate at which replays may be queued."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Column, Identity, Table, Text, Uuid

from .schema import TIME, created_at, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("task_ids", ARRAY(Uuid), nullable=False),
    created_at(),
    postgresql_with={
        "autovacuum_vacuum_threshold": "5000",
        "autovacuum_vacuum_scale_factor": "0",
    },
)

pace = Table(
    "pace",
    metadata,
    Column("name", Text, primary_key=True),
    Column("free_at", TIME, nullable=False, comment="when the next one may go"),
    comment="what goes in single file: replays",
)
