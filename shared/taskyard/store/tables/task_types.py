"""The task types that workers have registered, and which worker runs which."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, metadata

task_type = Table(
    "task_type",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False, comment="SHA-256 of the spec's canonical JSON"),
    Column("spec", JSONB, nullable=False, comment="catalogue/spec.py says what it holds"),
    Column("kit", Text, nullable=False, comment="where it was declared; empty outside of kits"),
    Column("registered_at", TIME, nullable=False, server_default=func.now()),
    Column("changed_at", TIME, comment="when another content replaced the one of the same version"),
    Column(
        "seen_at",
        TIME,
        nullable=False,
        server_default=func.now(),
        comment="when a live worker last had it, to the hour",
    ),
    Column("retired_at", TIME, comment="since when it admits no tasks, as no worker has had it for long"),
    comment="written by workers, read by API and scheduler",
)

worker_type = Table(
    "worker_type",
    metadata,
    Column("worker_id", Uuid, ForeignKey("worker.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("since", TIME, nullable=False, server_default=func.now(), comment="since when it runs this version"),
    comment="counts while the worker lives",
)
