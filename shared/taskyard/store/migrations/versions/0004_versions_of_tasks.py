"""versions of tasks as large as those of task types

PostgreSQL rewrites the table while nobody else can use it: a million tasks take seconds, during which the services wait
as in an outage. The release before runs on the wider column, too.

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


def upgrade() -> None:
    op.alter_column(
        "task", "version", type_=sa.Integer(), existing_type=sa.SmallInteger(), existing_server_default=sa.text("1")
    )


def downgrade() -> None:
    """Fails where a larger version is stored."""
    op.alter_column(
        "task", "version", type_=sa.SmallInteger(), existing_type=sa.Integer(), existing_server_default=sa.text("1")
    )
