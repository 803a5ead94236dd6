"""submits of applications

A schema with a function, by which applications submit tasks in their own transactions, and what its roles may read.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
_SQL = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    op.create_table(
        "submit_role",
        sa.Column("role", sa.Text(), nullable=False, comment="of PostgreSQL; its members submit by it, too"),
        sa.Column("queues", sa.ARRAY(sa.Text()), comment="null: all"),
        sa.Column("life_seconds", sa.Double(), nullable=False, comment="from due to expiry, unless a submit says"),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("role", name="pk_submit_role"),
        comment="who may call taskyard_sql.submit",
    )
    op.create_table(
        "application_outbox",
        sa.Column("xid", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the transaction"),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("xid", "task_id", name="pk_application_outbox"),
        comment="tasks that applications submitted in their own transactions: the relay publishes them",
        postgresql_with={"autovacuum_vacuum_threshold": "5000", "autovacuum_vacuum_scale_factor": "0"},
    )
    connection = op.get_bind()
    ledger = connection.execute(
        sa.text("SELECT CAST(relnamespace::regnamespace AS text) FROM pg_class WHERE oid = CAST('task' AS regclass)")
    ).scalar_one()
    # Views keep what their names meant when they were made, and the function reads them with the rights of the owner.
    usual = connection.execute(sa.text("SELECT current_setting('search_path')")).scalar_one()
    set_path = sa.text("SELECT set_config('search_path', :path, true)")
    connection.execute(set_path, {"path": "pg_catalog, pg_temp"})
    connection.exec_driver_sql(_SQL.read_text().replace("{ledger}", ledger), execution_options={"no_parameters": True})
    connection.execute(set_path, {"path": usual})


def downgrade() -> None:
    op.execute("DROP SCHEMA taskyard_sql CASCADE")
    op.drop_table("application_outbox")
    op.drop_table("submit_role")
