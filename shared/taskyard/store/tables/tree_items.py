"""Files."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text, Uuid, func, text

from .schema import TIME, created_at, metadata

tree_item = Table(
    "tree_item",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("object_type", Text, nullable=False, server_default=text("'file'")),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("parent_id", Uuid),
    Column("storage_key", Text, nullable=False),
    Column("submitted_by", Text, comment="the name of the API key it belongs to; null: none"),
    Column("task_id", Uuid, comment="the task that made it"),
    created_at(),
    Index("ix_tree_item_owner", "submitted_by", "id", postgresql_where=text("submitted_by IS NOT NULL")),
    Index("ix_tree_item_parent", "parent_id", "id", postgresql_where=text("parent_id IS NOT NULL")),
    Index("ix_tree_item_task", "task_id", "id", postgresql_where=text("task_id IS NOT NULL")),
)

loose_object = Table(
    "loose_object",
    metadata,
    Column("key", Text, primary_key=True, comment="of bytes in the storage that belong to no item, not yet or no more"),
    Column("noted_at", TIME, nullable=False, server_default=func.now()),
)
