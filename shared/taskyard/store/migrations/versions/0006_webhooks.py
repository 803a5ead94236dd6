"""webhooks

Endpoints with their secrets, and what a task tells to whom. The column has no default: adding it rewrites nothing.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False, comment="the name of the API key it belongs to"),
        sa.Column("secret", postgresql.JSONB(), nullable=False, comment="sealed by TASKYARD_SECRET_KEYS"),
        sa.Column("previous_secret", postgresql.JSONB(), comment="the one before the last rotation, sealed"),
        sa.Column("previous_until", sa.DateTime(timezone=True), comment="until when it signs, too"),
        sa.Column(
            "disabled_at",
            sa.DateTime(timezone=True),
            comment="since when nothing is sent: the receiver said that it is gone",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoint"),
    )
    op.create_index("ix_webhook_endpoint_owner", "webhook_endpoint", ["submitted_by", "id"])
    op.add_column(
        "task", sa.Column("callback", postgresql.JSONB(), comment="what is told to whom: domain/callbacks.py")
    )


def downgrade() -> None:
    op.drop_column("task", "callback")
    op.drop_index("ix_webhook_endpoint_owner", "webhook_endpoint")
    op.drop_table("webhook_endpoint")
