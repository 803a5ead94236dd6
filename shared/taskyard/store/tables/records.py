"""What imports and synchronisations bring in."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, Uuid, func, text
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

record_import = Table(
    "record_import",
    metadata,
    Column("task_id", Uuid, primary_key=True, comment="its rows are written once, however often the task runs"),
    Column("position", BigInteger, nullable=False, server_default=text("0"), comment="rows that are done"),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'"), comment="what became of them"),
    Column("moved_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_record_import_moved_at", "moved_at"),
    comment="kept for 30 days",
)

record_sync = Table(
    "record_sync",
    metadata,
    Column("owner", Text, primary_key=True, comment="as in record"),
    Column("collection", Text, primary_key=True),
    Column("source", Text, primary_key=True, comment="SHA-256 of the address and the way of paging"),
    Column("cursor", Text, comment="of the page to read next; null: the first one"),
    Column("task_id", Uuid, nullable=False, comment="the task that moved it last, and counts"),
    Column("is_done", Boolean, nullable=False, server_default=text("false"), comment="that task has read all"),
    # Not written any more: record_import has the counts of a task, also after another one has read on.
    Column("counts", JSONB, nullable=False, server_default=text("'{}'"), comment="what that task has read so far"),
    Column("moved_at", TIME, nullable=False, server_default=func.now()),
)
