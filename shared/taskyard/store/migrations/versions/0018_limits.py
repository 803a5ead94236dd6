"""limits

`task` gets a column, which takes no time, and two indexes of tasks that have a limit, of which there are none yet. They
are built in one pass over the table each, about a second for a million rows, for which writers wait. Where they do not
get their lock within seconds the migration fails, rather than hold up all who come after it, and is tried again.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_LIMITED = sa.text("limited IN ('waiting', 'granted')")
_KEY = sa.text("coalesce(limits ->> 'key', '')")


def upgrade() -> None:
    op.create_table(
        "limit_mark",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="task:KEY or queue:NAME"),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_limit_mark"),
        comment="limits that the leader has to look at: something waits for them, or was given back",
        postgresql_with={"autovacuum_vacuum_threshold": "5000", "autovacuum_vacuum_scale_factor": "0"},
    )
    op.create_index("ix_limit_mark_due", "limit_mark", ["due_at", "id"])
    op.create_index("ix_limit_mark_key", "limit_mark", ["key", "due_at"])
    op.create_table(
        "limit_pace",
        sa.Column("name", sa.Text(), nullable=False, comment="task:KEY or queue:NAME"),
        sa.Column(
            "last_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it last gave a grant, less what a rate may catch up with",
        ),
        sa.PrimaryKeyConstraint("name", name="pk_limit_pace"),
        postgresql_with={"fillfactor": "50"},
    )
    op.add_column(
        "task", sa.Column("limited", sa.Text(), comment="waiting for its limit, granted, or freed: lifecycle/limits.py")
    )
    op.create_index("ix_task_limited", "task", [_KEY, "limited", "id"], postgresql_where=_LIMITED)
    op.create_index("ix_task_limited_queue", "task", ["queue", "limited", _KEY, "id"], postgresql_where=_LIMITED)


def downgrade() -> None:
    op.drop_index("ix_task_limited_queue", "task")
    op.drop_index("ix_task_limited", "task")
    op.drop_column("task", "limited")
    op.drop_table("limit_pace")
    op.drop_table("limit_mark")
