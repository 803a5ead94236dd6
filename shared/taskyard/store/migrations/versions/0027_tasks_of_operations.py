"""tasks of operations

The operation that last replayed, cancelled, discarded or restored a task, so that undoing it hits these tasks and no
others; the release before neither reads nor writes it. Its index is empty at first: it is built in one pass over the
table, about a second for a million rows, for which writers wait. Where it does not get its lock within seconds it
fails, rather than hold up all who come after it, and is tried again.

Revision ID: 0027
Revises: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    which = "the one that last replayed, cancelled, discarded or restored it"
    op.add_column("task", sa.Column("operation_id", sa.Uuid(), comment=which))
    chosen = sa.text("operation_id IS NOT NULL")
    op.create_index("ix_task_operation", "task", ["operation_id", "id"], postgresql_where=chosen)


def downgrade() -> None:
    op.drop_index("ix_task_operation", "task")
    op.drop_column("task", "operation_id")
