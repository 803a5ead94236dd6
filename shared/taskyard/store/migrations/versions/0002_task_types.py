"""task types

Only adds: the release before runs on this schema, too.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "task_type",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the spec's canonical JSON"),
        sa.Column("spec", JSONB, nullable=False, comment="catalogue/spec.py says what it holds"),
        sa.Column("kit", sa.Text(), nullable=False, comment="where it was declared; empty outside of kits"),
        sa.Column("registered_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", TIME, comment="when another content replaced the one of the same version"),
        sa.Column(
            "seen_at",
            TIME,
            server_default=sa.text("now()"),
            nullable=False,
            comment="when a live worker last had it, to the hour",
        ),
        sa.Column("retired_at", TIME, comment="since when it admits no tasks, as no worker has had it for long"),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_task_type")),
        comment="written by workers, read by API and scheduler",
    )
    op.create_table(
        "worker_type",
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "since",
            TIME,
            server_default=sa.text("now()"),
            nullable=False,
            comment="since when it runs this version",
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("fk_worker_type_worker_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("worker_id", "name", name=op.f("pk_worker_type")),
        comment="counts while the worker lives",
    )


def downgrade() -> None:
    op.drop_table("worker_type")
    op.drop_table("task_type")
