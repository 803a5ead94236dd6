"""Archives of tasks."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Uuid, text

from .schema import TIME, created_at, metadata

task_archive = Table(
    "task_archive",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task_id", Uuid, nullable=False, comment="the task that works on it"),
    Column("claim", Uuid, nullable=False, comment="of the attempt that may go on with it"),
    Column("item_id", Uuid, comment="its file; null until all of it is stored"),
    Column("tasks", BigInteger, nullable=False, server_default=text("0"), comment="that its file holds"),
    Column(
        "deleted",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="of them, from the ledger; the others changed meanwhile and stayed",
    ),
    Column("first_id", Uuid),
    Column("last_id", Uuid),
    Column("first_finished_at", TIME),
    Column("last_finished_at", TIME),
    created_at(),
    Column("cleared_at", TIME, comment="since when none of its tasks is left to delete"),
    # One at a time: two would archive the same tasks.
    Index(
        "ix_task_archive_open",
        text("(cleared_at IS NULL)"),
        unique=True,
        postgresql_where=text("cleared_at IS NULL"),
    ),
)
