"""waits of attempts

A column for when the task of an attempt had become queued, which its row forgets at the next attempt; the release
before neither reads nor writes it.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    queued = sa.Column("queued_at", sa.DateTime(timezone=True), comment="when the task became queued before it began")
    op.add_column("task_attempt", queued)


def downgrade() -> None:
    op.drop_column("task_attempt", "queued_at")
