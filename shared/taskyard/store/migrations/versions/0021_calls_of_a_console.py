"""calls of a console

A column for the person on whose behalf a key made a change; the release before neither reads nor writes it.

Indexes by which the tasks of a schedule, discarded dead letters and crashed attempts are found without a walk over all
others (docs/decisions/0045-calls-of-a-console.md). Each is built in one pass over its table, about a second for a
million rows, for which writers wait. Where it does not get its lock within seconds it fails, rather than hold up all
who come after it, and is tried again.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    person = "the person for whom the key was used, as its holder says"
    op.add_column("audit", sa.Column("on_behalf_of", sa.Text(), comment=person))
    op.create_index(
        "ix_task_schedule", "task", ["schedule_id", "id"], postgresql_where=sa.text("schedule_id IS NOT NULL")
    )
    op.create_index("ix_task_discarded", "task", ["queue", "id"], postgresql_where=sa.text("discarded_at IS NOT NULL"))
    crashed = sa.text("outcome IN ('crashed','suspected')")
    op.create_index("ix_task_attempt_crash", "task_attempt", ["id"], postgresql_where=crashed)


def downgrade() -> None:
    op.drop_index("ix_task_attempt_crash", "task_attempt")
    op.drop_index("ix_task_discarded", "task")
    op.drop_index("ix_task_schedule", "task")
    op.drop_column("audit", "on_behalf_of")
