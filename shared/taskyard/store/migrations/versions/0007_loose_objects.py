"""loose objects

Keys of bytes in the storage that belong to no item.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "loose_object",
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="of bytes in the storage that belong to no item, not yet or no more",
        ),
        sa.Column("noted_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_loose_object"),
    )


def downgrade() -> None:
    op.drop_table("loose_object")
