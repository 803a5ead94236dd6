"""control of workers

What is asked of a worker from outside: to drain, to replace its children, to keep another number of them. The release
before neither reads nor writes these columns.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("worker", sa.Column("drain_asked_at", _TIME))
    op.add_column(
        "worker", sa.Column("restart_asked_at", _TIME, comment="of its children; NULL once they are replaced")
    )
    op.add_column("worker", sa.Column("processes_asked", sa.Text(), comment="N or MIN:MAX; NULL once it holds"))


def downgrade() -> None:
    for column in ("drain_asked_at", "restart_asked_at", "processes_asked"):
        op.drop_column("worker", column)
