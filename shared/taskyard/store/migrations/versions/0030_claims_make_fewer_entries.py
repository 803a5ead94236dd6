"""claims make fewer entries

The index of names leaves out tasks that run, and new pages of `task` keep room for a second version of each row. The
release before gives the right answers on the new index, only that its lists by name read more.

Each step is a transaction of its own. The option is set without a lock that others feel. The new index is built before
the old one goes, in one pass over the table, a second or two for a million rows, for which writers wait. A step that
does not get its lock within seconds fails, rather than hold up all who come after it. What was cut off is repeated from
the start.

Revision ID: 0030
Revises: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_COLUMNS = ["name", "state", "id"]


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        op.execute("ALTER TABLE task SET (fillfactor = 45)")
        does_not_run = sa.text("state <> 'running'")
        op.create_index("ix_task_named", "task", _COLUMNS, postgresql_where=does_not_run, if_not_exists=True)
        op.drop_index("ix_task_name", "task", if_exists=True)
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.create_index("ix_task_name", "task", _COLUMNS)
    op.drop_index("ix_task_named", "task")
    op.execute("ALTER TABLE task SET (fillfactor = 70)")
