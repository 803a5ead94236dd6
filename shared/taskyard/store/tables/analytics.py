"""How much the API and the models are used: counted by the minute, told event by event, and summed up by the hour."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, SmallInteger, Table, Text, Uuid, func

from .schema import TIME, metadata

request_count = Table(
    "request_count",
    metadata,
    Column("minute", TIME, primary_key=True),
    Column("source", Uuid, primary_key=True, comment="the process that counted: its rows are its own totals"),
    Column("method", Text, primary_key=True),
    Column("route", Text, primary_key=True, comment="the template of the path"),
    Column("status", SmallInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False, comment="that answering them took, together"),
)

usage_event = Table(
    "usage_event",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", TIME, nullable=False),
    Column("model", Text, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("submitted_by", Text, nullable=False, comment="the name of the API key it belongs to"),
    Index("ix_usage_event_at", "at"),
)

analytics_hour = Table(
    "analytics_hour",
    metadata,
    Column("hour", TIME, primary_key=True),
    Column("aggregated_at", TIME, nullable=False, server_default=func.now()),
    comment="hours whose sums hold; a row goes where something of its hour is added later",
)

request_hour = Table(
    "request_hour",
    metadata,
    Column("hour", TIME, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("status", SmallInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
)

usage_hour = Table(
    "usage_hour",
    metadata,
    Column("hour", TIME, primary_key=True),
    Column("submitted_by", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)
