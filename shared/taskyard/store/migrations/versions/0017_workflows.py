"""workflows

Their rows, their steps and their timelines: all three tables are new. `task` gets an index of its blocked steps, of
which there are none yet. It is built in one pass over the table, about a second for a million rows, for which writers
wait. Where it does not get its lock within seconds it fails, rather than hold up all who come after it, and is tried
again.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_UUIDS = postgresql.ARRAY(sa.Uuid())
_TEXTS = postgresql.ARRAY(sa.Text())


def _count(name: str, comment: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False, comment=comment)


def upgrade() -> None:
    op.create_table(
        "workflow",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("on_failure", sa.Text(), nullable=False, comment="cancel_rest or continue"),
        sa.Column("queues", _TEXTS, nullable=False, comment="those of its steps: who may see it has all of them"),
        sa.Column("callback", postgresql.JSONB(), comment="who is told of its end: domain/callbacks.py"),
        sa.Column("request_id", sa.Text()),
        sa.Column("traceparent", sa.Text()),
        sa.Column("submitted_by", sa.Text(), comment="the name of the API key"),
        sa.Column("allowed_queues", _TEXTS),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="running until every step has ended"),
        sa.Column("cancel_requested_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("steps", sa.Integer(), nullable=False),
        _count("succeeded"),
        _count("failed"),
        _count("cancelled"),
        _count("excused", "optional steps that ended without success"),
        _count("marks", "grows whenever steps have to be cancelled"),
        _count("swept", "marks up to which that was done"),
        sa.CheckConstraint(
            "state IN ('running','succeeded','failed','cancelled')", name=op.f("ck_workflow_state_known")
        ),
        sa.CheckConstraint("(state = 'running') = (finished_at IS NULL)", name=op.f("ck_workflow_final_is_finished")),
        sa.PrimaryKeyConstraint("id", name="pk_workflow"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_workflow_marked", "workflow", ["id"], postgresql_where=sa.text("swept < marks"))
    op.create_index("ix_workflow_state", "workflow", ["state", "id"])
    op.create_index("ix_workflow_name", "workflow", ["name", "id"], postgresql_where=sa.text("name IS NOT NULL"))
    op.create_table(
        "workflow_step",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "pending_needs",
            sa.Integer(),
            nullable=False,
            comment="needs that are not met; raised under the task's lock",
        ),
        sa.Column("optional", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("needs", _UUIDS, nullable=False, comment="the tasks that have to end before"),
        sa.Column("leads_to", _UUIDS, nullable=False, comment="the tasks that need this one"),
        sa.Column("refs", postgresql.JSONB(), comment="results that its parameters take: domain/references.py"),
        sa.Column("run_at", _TIME),
        sa.Column("delay_seconds", sa.Double()),
        sa.Column("expires_at", _TIME, comment="an end that its submit gave"),
        sa.Column("life_seconds", sa.Double()),
        sa.PrimaryKeyConstraint("task_id", name="pk_workflow_step"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_workflow_step_workflow", "workflow_step", ["workflow_id", "task_id"])
    op.create_table(
        "workflow_event",
        sa.Column("id", sa.BigInteger(), server_default=sa.text("nextval('timeline_seq')"), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="step, added, cancel_requested, retried, succeeded, ..."),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_event"),
    )
    op.create_index("ix_workflow_event_workflow", "workflow_event", ["workflow_id", "id"])
    op.create_index("ix_task_blocked", "task", ["id"], postgresql_where=sa.text("state = 'blocked'"))


def downgrade() -> None:
    op.drop_index("ix_task_blocked", "task")
    op.drop_table("workflow_event")
    op.drop_table("workflow_step")
    op.drop_table("workflow")
