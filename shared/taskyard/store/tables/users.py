"""The users of an application, with their profiles and statistics."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, Uuid, func, text

from .schema import TIME, created_at, metadata

# Not `user`, which is a reserved word of SQL.
users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="the caller's own"),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column(
        "webhook_endpoint_id",
        Uuid,
        ForeignKey("webhook_endpoint.id", ondelete="SET NULL"),
        comment="where the user is notified",
    ),
    Column("submitted_by", Text, nullable=False, comment="the name of the API key it belongs to"),
    Column("login_count", BigInteger, nullable=False, server_default=text("0")),
    Column("last_activity", TIME),
    created_at(),
    Column(
        "updated_at", TIME, nullable=False, server_default=func.now(), comment="when email, name or endpoint changed"
    ),
    CheckConstraint("id > 0", name="id_positive"),
    Index("ix_users_webhook_endpoint", "webhook_endpoint_id", postgresql_where=text("webhook_endpoint_id IS NOT NULL")),
)

user_profiles = Table(
    "user_profiles",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", BigInteger, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("task_id", Uuid, nullable=False, comment="the task that made it"),
    created_at(),
)

user_activity = Table(
    "user_activity",
    metadata,
    Column("task_id", Uuid, primary_key=True, comment="it counts once, however often the task runs"),
    Column("user_id", BigInteger, nullable=False),
    Column("login_count", BigInteger, nullable=False, comment="with this activity"),
    Column("at", TIME, nullable=False, server_default=func.now()),
    Index("ix_user_activity_at", "at"),
    comment="kept for 30 days",
)
