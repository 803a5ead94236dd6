"""Queues, with what was last counted in them, and the processes that serve them."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Column, Double, Index, Integer, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, created_at, metadata

queue = Table(
    "queue",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused_at", TIME),
    Column("concurrent", Integer),
    Column("per_second", Double),
    created_at(),
)

queue_depth = Table(
    "queue_depth",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("tasks", BigInteger, nullable=False),
    Column("oldest_at", TIME),
    Column("taken_at", TIME, nullable=False, server_default=func.now()),
)

queue_minute = Table(
    "queue_minute",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("minute", TIME, primary_key=True),
    Column("finished", BigInteger, nullable=False, server_default=text("0")),
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
    comment="no longer written nor read: task_count took its place. The release before still does both",
)

worker = Table(
    "worker",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("task_types", ARRAY(Text), nullable=False),
    Column("processes", Integer, nullable=False),
    Column("threads", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'running'"), comment="running, draining, stopped, lost"),
    Column("memory_bytes", BigInteger),
    Column("children", JSONB, nullable=False, server_default=text("'[]'")),
    Column(
        "begun",
        ARRAY(Uuid),
        nullable=False,
        server_default=text("'{}'"),
        comment="tasks that had begun at the last beat",
    ),
    Column("started_at", TIME, nullable=False, server_default=func.now()),
    Column("beat_at", TIME, nullable=False, server_default=func.now()),
    Column("lost_at", TIME),
    Column("stopped_at", TIME),
    Column("drain_asked_at", TIME),
    Column("restart_asked_at", TIME, comment="of its children; NULL once they are replaced"),
    Column("processes_asked", Text, comment="N or MIN:MAX; NULL once it holds"),
    Column("attempts", JSONB, comment="how many ended since its start, by their outcome; NULL: it does not tell"),
    Column("load_average", ARRAY(Double), comment="of its host, over 1, 5 and 15 minutes"),
    Index("ix_worker_live", "beat_at", postgresql_where=text("lost_at IS NULL AND stopped_at IS NULL")),
)

leader = Table(
    "leader",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("holder_name", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("ticked_at", TIME),
    Column("broker_lost_at", TIME),  # since when the leader has not reached Redis
)
