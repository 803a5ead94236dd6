"""left children

Tasks whose children a cancellation has left to the leader.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "left_children",
        sa.Column("root_id", sa.Uuid(), nullable=False, comment="the task that was cancelled in the first place"),
        sa.Column("parent_id", sa.Uuid(), nullable=False, comment="whose children are to be cancelled"),
        sa.Column("after_id", sa.Uuid(), nullable=False, comment="the last child that has been dealt with"),
        sa.Column(
            "cancelled_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="of the parent: later ones are not meant",
        ),
        sa.PrimaryKeyConstraint("root_id", "parent_id", name="pk_left_children"),
        comment="tasks whose children a cancellation has left to the leader",
    )


def downgrade() -> None:
    op.drop_table("left_children")
