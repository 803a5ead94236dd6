"""owners of items

A key that is restricted to queues sees its own items only: the index is for its lists. Who made an item is in
`submitted_by` since the first release.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("tree_item", "submitted_by", comment="the name of the API key it belongs to; null: none")
    # Not concurrently: that waits for every open transaction, those that wait for the lock of the migrations too.
    op.create_index(
        "ix_tree_item_owner",
        "tree_item",
        ["submitted_by", "id"],
        postgresql_where=text("submitted_by IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_tree_item_owner", "tree_item")
    op.alter_column("tree_item", "submitted_by", comment=None)
