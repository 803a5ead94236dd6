"""Schedules, what became of each of their due times, and which standing schedules were made."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, created_at, metadata

schedule = Table(
    "schedule",
    metadata,
    # The definition (written by people; each change makes `version` grow)
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("task", JSONB, nullable=False, comment="admitted: what is submitted at each due time"),
    Column("task_bytes", Integer, nullable=False, comment="its length as JSON"),
    Column("task_name", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("trigger", JSONB, nullable=False, comment="as given: cron and timezone, every_seconds, or at"),
    Column("anchored_at", TIME, nullable=False, comment="from when an interval counts, without a start_at"),
    Column("start_at", TIME),
    Column("end_at", TIME),
    Column("jitter_seconds", Double, nullable=False, server_default=text("0")),
    Column("misfire", Text, nullable=False),
    Column("catch_up_seconds", Double, nullable=False),
    Column("overlap", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("source", Text, comment="kit:NAME or file:NAME of who declared it; null: a caller of the API"),
    Column("created_by", Text, comment="the name of the API key, or the account of a command"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created_at(),
    Column("changed_at", TIME, nullable=False, server_default=text("now()")),
    # The cursor (written by whoever fires it)
    Column("next_due_at", TIME, comment="the next due time; null: there is none"),
    Column("fires_at", TIME, comment="next_due_at with its jitter; null while it is not enabled"),
    Column("last_due_at", TIME, comment="of the last task"),
    Column("last_task_id", Uuid),
    CheckConstraint("misfire IN ('skip','once','all')", name="misfire_known"),
    CheckConstraint("overlap IN ('allow','skip')", name="overlap_known"),
    CheckConstraint("fires_at IS NULL OR (enabled AND next_due_at IS NOT NULL)", name="live_fires"),
    Index("uq_schedule_name", "name", unique=True),
    Index("ix_schedule_fires_at", "fires_at", postgresql_where=text("fires_at IS NOT NULL")),
)

# A schedule that is deleted leaves its fires to retention: deleting a million rows would hold up its call.
schedule_fire = Table(
    "schedule_fire",
    metadata,
    Column("schedule_id", Uuid, nullable=False),
    Column("due_at", TIME, nullable=False, comment="without jitter; when it was asked for, if by hand"),
    Column("until", TIME, comment="the last of several due times that are too old to be told one by one"),
    Column("fired_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("outcome", Text, nullable=False),
    Column("task_id", Uuid, comment="null: there is none, for the reason that is the outcome"),
    Column("by_hand", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("schedule_id", "due_at"),
    CheckConstraint("(outcome = 'submitted') = (task_id IS NOT NULL)", name="task_or_reason"),
    Index("ix_schedule_fire_fired_at", "fired_at"),
)

standing_schedule = Table(
    "standing_schedule",
    metadata,
    Column("name", Text, primary_key=True),
    Column("task_name", Text, nullable=False),
    Column("made_at", TIME, nullable=False, server_default=text("now()")),
    comment="each is made once, and stays as people leave it",
)
