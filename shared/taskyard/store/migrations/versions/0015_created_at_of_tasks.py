"""created_at of tasks

An index by which reports read the tasks of their period only (docs/decisions/0003-indexes.md). It is built in one pass
over the table, about a second for a million rows, for which writers wait. Where it does not get its lock within seconds
it fails, rather than hold up all who come after it, and is tried again.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_task_created",
        "task",
        ["created_at"],
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )


def downgrade() -> None:
    op.drop_index("ix_task_created", "task")
