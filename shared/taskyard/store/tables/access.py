"""API keys and what makes their requests repeatable, roles of PostgreSQL that submit, and the audit log."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    DDL,
    Column,
    Double,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, created_at, metadata

api_key = Table(
    "api_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("prefix", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the whole key: it has 256 random bits"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("queues", ARRAY(Text)),
    Column("expires_at", TIME),
    Column("revoked_at", TIME),
    created_at(),
)

submit_role = Table(
    "submit_role",
    metadata,
    Column("role", Text, primary_key=True, comment="of PostgreSQL; its members submit by it, too"),
    Column("queues", ARRAY(Text), comment="null: all"),
    Column("life_seconds", Double, nullable=False, comment="from due to expiry, unless a submit says"),
    created_at(),
    comment="who may call taskyard_sql.submit",
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("api_key_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of method, path and body"),
    Column("status", SmallInteger, comment="null while the first request is being answered"),
    Column("headers", JSONB),
    Column("answer", LargeBinary),
    created_at(),
    Index("ix_idempotency_key_created_at", "created_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", TIME, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False, comment="the name of the API key, or cli:<account>@<host>"),
    Column("api_key_id", Uuid),
    Column("action", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("target_id", Text, comment="null where many were changed at once: details name them"),
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    Column("address", Text, comment="the caller's"),
    Column("request_id", Text),
    Column("on_behalf_of", Text, comment="the person for whom the key was used, as its holder says"),
    Index("ix_audit_action", "action", "id"),
    Index("ix_audit_actor", "actor", "id"),
    Index("ix_audit_actor_action", "actor", "action", "id"),
    Index("ix_audit_target", "target_id", "id", postgresql_where=text("target_id IS NOT NULL")),
    comment="append-only: a trigger refuses every other write",
)

# Alembic does not compare triggers and functions: test_migrations.py does.
_REFUSE_CHANGES = """
CREATE FUNCTION refuse_changes_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'the audit log is append-only: ' || TG_OP || ' refused';
END $$
"""
_APPEND_ONLY = """
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_changes_of_audit()
"""
for _statement in (_REFUSE_CHANGES, _APPEND_ONLY):
    event.listen(audit, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]
