"""task archives

The files into which final tasks go when their retention is over.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "task_archive",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="the task that works on it"),
        sa.Column("claim", sa.Uuid(), nullable=False, comment="of the attempt that may go on with it"),
        sa.Column("item_id", sa.Uuid(), comment="its file; null until all of it is stored"),
        sa.Column("tasks", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="that its file holds"),
        sa.Column(
            "deleted",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="of them, from the ledger; the others changed meanwhile and stayed",
        ),
        sa.Column("first_id", sa.Uuid()),
        sa.Column("last_id", sa.Uuid()),
        sa.Column("first_finished_at", TIME),
        sa.Column("last_finished_at", TIME),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("cleared_at", TIME, comment="since when none of its tasks is left to delete"),
        sa.PrimaryKeyConstraint("id", name="pk_task_archive"),
    )
    op.create_index(
        "ix_task_archive_open",
        "task_archive",
        [sa.text("(cleared_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("task_archive")
