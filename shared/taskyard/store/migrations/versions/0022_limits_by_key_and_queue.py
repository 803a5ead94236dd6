"""limits by key and queue

The index of keys is led through by queue, too: what waits of a key is looked up in each of its queues. The new index is
built before the old one goes, in one pass over the table, for which writers wait about a second for a million rows.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_LIMITED = sa.text("limited IN ('waiting', 'granted')")
_KEY = sa.text("coalesce(limits ->> 'key', '')")


def upgrade() -> None:
    op.create_index("ix_task_limited_key", "task", [_KEY, "limited", "queue", "id"], postgresql_where=_LIMITED)
    op.drop_index("ix_task_limited", "task")


def downgrade() -> None:
    op.create_index("ix_task_limited", "task", [_KEY, "limited", "id"], postgresql_where=_LIMITED)
    op.drop_index("ix_task_limited_key", "task")
