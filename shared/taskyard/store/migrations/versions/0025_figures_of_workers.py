"""figures of workers

What a worker counts itself: attempts that ended, by their outcome, and the load of its host. The release before neither
reads nor writes these columns.

Revision ID: 0025
Revises: 0023
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None

_ATTEMPTS = "how many ended since its start, by their outcome; NULL: it does not tell"


def upgrade() -> None:
    op.add_column("worker", sa.Column("attempts", JSONB(), comment=_ATTEMPTS))
    load_average: sa.Column[Sequence[float]] = sa.Column(
        "load_average", sa.ARRAY(sa.Double()), comment="of its host, over 1, 5 and 15 minutes"
    )
    op.add_column("worker", load_average)


def downgrade() -> None:
    for column in ("attempts", "load_average"):
        op.drop_column("worker", column)
