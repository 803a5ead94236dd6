"""room beside tasks

New pages of `task` keep more room free, so that more claims and ends are written beside the row that they replace. The
index that expiry walks holds tasks that wait only: a claim makes no entry in it. The release before asks for waiting
tasks by the same words, and walks the new index, too.

Each step is a transaction of its own. The option is set without a lock that others feel. The index is built in one pass
over the table, about a second for a million rows, for which writers wait. A step that does not get its lock within
seconds fails, rather than hold up all who come after it. What was cut off is repeated from the start.

Revision ID: 0029
Revises: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_WAITS = sa.text("expires_at IS NOT NULL AND state IN ('blocked','scheduled','queued','retrying')")
_LIVE = sa.text("expires_at IS NOT NULL AND finished_at IS NULL")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE task SET (fillfactor = 70)")
        op.create_index("ix_task_expiry", "task", ["expires_at"], postgresql_where=_WAITS, if_not_exists=True)
        op.drop_index("ix_task_expires", "task", if_exists=True)
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.create_index("ix_task_expires", "task", ["expires_at"], postgresql_where=_LIVE)
    op.drop_index("ix_task_expiry", "task")
    op.execute("ALTER TABLE task SET (fillfactor = 85)")
