"""counts for reports

Functions by which tasks read counts of the ledger, and nothing else of it.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_SQL = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    connection = op.get_bind()
    ledger = connection.execute(
        sa.text("SELECT CAST(relnamespace::regnamespace AS text) FROM pg_class WHERE oid = CAST('task' AS regclass)")
    ).scalar_one()
    connection.exec_driver_sql(_SQL.read_text().replace("{ledger}", ledger), execution_options={"no_parameters": True})


def downgrade() -> None:
    op.execute("DROP SCHEMA taskyard_counts CASCADE")
