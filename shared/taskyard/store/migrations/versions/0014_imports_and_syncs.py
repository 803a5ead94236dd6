"""imports and syncs

How far the tasks are that write records: both tables are of our kits, and new.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "record_import",
        sa.Column(
            "task_id", sa.Uuid(), nullable=False, comment="its rows are written once, however often the task runs"
        ),
        sa.Column(
            "position", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="rows that are done"
        ),
        sa.Column(
            "counts",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="what became of them",
        ),
        sa.Column("moved_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name="pk_record_import"),
        comment="kept for 30 days",
    )
    op.create_index("ix_record_import_moved_at", "record_import", ["moved_at"])
    op.create_table(
        "record_sync",
        sa.Column("owner", sa.Text(), nullable=False, comment="as in record"),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="SHA-256 of the address and the way of paging"),
        sa.Column("cursor", sa.Text(), comment="of the page to read next; null: the first one"),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="the task that moved it last, and counts"),
        sa.Column(
            "is_done",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="that task has read all",
        ),
        sa.Column(
            "counts",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="what that task has read so far",
        ),
        sa.Column("moved_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "collection", "source", name="pk_record_sync"),
    )


def downgrade() -> None:
    op.drop_table("record_sync")
    op.drop_table("record_import")
