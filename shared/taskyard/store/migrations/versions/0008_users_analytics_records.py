"""users, analytics, records

Tables of our kits. All are new: no other is locked for longer than it takes to add a foreign key.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="the caller's own"),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("webhook_endpoint_id", sa.Uuid(), comment="where the user is notified"),
        sa.Column("submitted_by", sa.Text(), nullable=False, comment="the name of the API key it belongs to"),
        sa.Column("login_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_activity", _TIME),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column(
            "updated_at",
            _TIME,
            server_default=sa.func.now(),
            nullable=False,
            comment="when email, name or endpoint changed",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.ForeignKeyConstraint(
            ["webhook_endpoint_id"], ["webhook_endpoint.id"], name="fk_users_webhook_endpoint_id", ondelete="SET NULL"
        ),
        sa.CheckConstraint("id > 0", name=op.f("ck_users_id_positive")),
    )
    op.create_index(
        "ix_users_webhook_endpoint",
        "users",
        ["webhook_endpoint_id"],
        postgresql_where=sa.text("webhook_endpoint_id IS NOT NULL"),
    )
    op.create_table(
        "user_profiles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="the task that made it"),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_profiles"),
        sa.UniqueConstraint("user_id", name="uq_user_profiles_user_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_profiles_user_id", ondelete="CASCADE"),
    )
    op.create_table(
        "user_activity",
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="it counts once, however often the task runs"),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("login_count", sa.BigInteger(), nullable=False, comment="with this activity"),
        sa.Column("at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name="pk_user_activity"),
        comment="kept for 30 days",
    )
    op.create_index("ix_user_activity_at", "user_activity", ["at"])
    _analytics()
    op.create_table(
        "record",
        sa.Column("owner", sa.Text(), nullable=False, comment="key:NAME of a restricted API key; empty: all others'"),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="the task that wrote it last"),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.func.now(), nullable=False, comment="when its data changed"),
        sa.PrimaryKeyConstraint("owner", "collection", "key", name="pk_record"),
    )


def _analytics() -> None:
    op.create_table(
        "request_count",
        sa.Column("minute", _TIME, nullable=False),
        sa.Column("source", sa.Uuid(), nullable=False, comment="the process that counted: its rows are its own totals"),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False, comment="the template of the path"),
        sa.Column("status", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False, comment="that answering them took, together"),
        sa.PrimaryKeyConstraint("minute", "source", "method", "route", "status", name="pk_request_count"),
    )
    op.create_table(
        "usage_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False, comment="the name of the API key it belongs to"),
        sa.PrimaryKeyConstraint("id", name="pk_usage_event"),
    )
    op.create_index("ix_usage_event_at", "usage_event", ["at"])
    op.create_table(
        "analytics_hour",
        sa.Column("hour", _TIME, nullable=False),
        sa.Column("aggregated_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("hour", name="pk_analytics_hour"),
        comment="hours whose sums hold; a row goes where something of its hour is added later",
    )
    op.create_table(
        "request_hour",
        sa.Column("hour", _TIME, nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "method", "route", "status", name="pk_request_hour"),
    )
    op.create_table(
        "usage_hour",
        sa.Column("hour", _TIME, nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "submitted_by", "model", name="pk_usage_hour"),
    )


def downgrade() -> None:
    for table in (
        "record",
        "usage_hour",
        "request_hour",
        "analytics_hour",
        "usage_event",
        "request_count",
        "user_activity",
        "user_profiles",
        "users",
    ):
        op.drop_table(table)
