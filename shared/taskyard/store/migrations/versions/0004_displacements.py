"""tasks that were displaced

`displacements` counts how often the process of a task was ended for another task's fault. Such tasks, suspects and
those that crashed run apart from the others, and one index finds all of them. The release before finds its suspects by
it, too: what it asks for implies the index's condition.

Each step is a transaction of its own, so that readers never wait and writers only while the index is built: for one
pass over the table, about a second for a million rows. A step that does not get its lock within seconds fails, rather
than hold up all who come after it. What was cut off is repeated from the start.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_APART = sa.text("(suspicions > 0 OR crashes > 0 OR displacements > 0) AND finished_at IS NULL")
_SUSPECT = sa.text("suspicions > 0 AND finished_at IS NULL")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        op.add_column(
            "task",
            sa.Column(
                "displacements",
                sa.Integer(),
                server_default=sa.text("0"),
                nullable=False,
                comment="how often its process was ended for another task's fault",
            ),
            if_not_exists=True,
        )
        op.create_index("ix_task_apart", "task", ["queue", "id"], postgresql_where=_APART, if_not_exists=True)
        op.drop_index("ix_task_suspect", "task", if_exists=True)
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.create_index("ix_task_suspect", "task", ["queue", "id"], postgresql_where=_SUSPECT)
    op.drop_index("ix_task_apart", "task")
    op.drop_column("task", "displacements")
