"""Workflows: each is a row, its steps are tasks, and what a step waits for stands beside its task."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, created_at, metadata
from .tasks import timeline_seq


def _count(name: str, comment: str | None = None) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"), comment=comment)


workflow = Table(
    "workflow",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("on_failure", Text, nullable=False, comment="cancel_rest or continue"),
    Column("queues", ARRAY(Text), nullable=False, comment="those of its steps: who may see it has all of them"),
    Column("callback", JSONB, comment="who is told of its end: domain/callbacks.py"),
    Column("request_id", Text),
    Column("traceparent", Text),
    Column("submitted_by", Text, comment="the name of the API key"),
    Column("allowed_queues", ARRAY(Text)),
    created_at(),
    Column("state", Text, nullable=False, comment="running until every step has ended"),
    Column("cancel_requested_at", TIME),
    Column("finished_at", TIME),
    Column("steps", Integer, nullable=False),
    _count("succeeded"),
    _count("failed"),
    _count("cancelled"),
    _count("excused", "optional steps that ended without success"),
    _count("marks", "grows whenever steps have to be cancelled"),
    _count("swept", "marks up to which that was done"),
    CheckConstraint("state IN ('running','succeeded','failed','cancelled')", name="state_known"),
    CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="final_is_finished"),
    Index("ix_workflow_marked", "id", postgresql_where=text("swept < marks")),
    Index("ix_workflow_state", "state", "id"),
    Index("ix_workflow_name", "name", "id", postgresql_where=text("name IS NOT NULL")),
    postgresql_with={"fillfactor": "50"},
)

workflow_step = Table(
    "workflow_step",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("workflow_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("pending_needs", Integer, nullable=False, comment="needs that are not met; raised under the task's lock"),
    Column("optional", Boolean, nullable=False, server_default=text("false")),
    Column("needs", ARRAY(Uuid), nullable=False, comment="the tasks that have to end before"),
    Column("leads_to", ARRAY(Uuid), nullable=False, comment="the tasks that need this one"),
    Column("refs", JSONB, comment="results that its parameters take: domain/references.py"),
    # When its needs are met
    Column("run_at", TIME),
    Column("delay_seconds", Double),
    Column("expires_at", TIME, comment="an end that its submit gave"),
    Column("life_seconds", Double),
    Index("ix_workflow_step_workflow", "workflow_id", "task_id"),
    postgresql_with={"fillfactor": "50"},
)

workflow_event = Table(
    "workflow_event",
    metadata,
    Column("id", BigInteger, timeline_seq, primary_key=True, server_default=timeline_seq.next_value()),
    Column("workflow_id", Uuid, nullable=False),
    Column("at", TIME, nullable=False, server_default=func.now()),
    Column("kind", Text, nullable=False, comment="step, added, cancel_requested, retried, succeeded, ..."),
    Column("data", JSONB, nullable=False, server_default=text("'{}'")),
    Index("ix_workflow_event_workflow", "workflow_id", "id"),
)
