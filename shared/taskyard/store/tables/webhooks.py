"""Receivers of webhooks."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, created_at, metadata

webhook_endpoint = Table(
    "webhook_endpoint",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("submitted_by", Text, nullable=False, comment="the name of the API key it belongs to"),
    Column("secret", JSONB, nullable=False, comment="sealed by TASKYARD_SECRET_KEYS"),
    Column("previous_secret", JSONB, comment="the one before the last rotation, sealed"),
    Column("previous_until", TIME, comment="until when it signs, too"),
    Column("disabled_at", TIME, comment="since when nothing is sent: the receiver said that it is gone"),
    created_at(),
    Index("ix_webhook_endpoint_owner", "submitted_by", "id"),
)
