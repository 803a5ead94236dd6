"""schedules

Schedules, the ledger of their fires, and which standing schedules were made: three new tables. Applications that submit
in their own transactions may delay a task for ten years, as everybody.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")

# Of taskyard_sql.submit (0010).
_BOUNDS = {
    "'delay_seconds', 0, 31536000,": "'delay_seconds', 0, 315619200,",
    "called + interval '365 days'": "called + interval '3653 days'",
    "Lies more than a year ahead; a year is the most.": "Lies more than ten years ahead; ten years are the most.",
    "called + interval '730 days'": "called + interval '4018 days'",
    "Lies more than two years ahead; two years are the most.": "Lies more than eleven years ahead; eleven years are"
    " the most.",
}


def upgrade() -> None:
    op.create_table(
        "schedule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("task", postgresql.JSONB(), nullable=False, comment="admitted: what is submitted at each due time"),
        sa.Column("task_bytes", sa.Integer(), nullable=False, comment="its length as JSON"),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column(
            "trigger", postgresql.JSONB(), nullable=False, comment="as given: cron and timezone, every_seconds, or at"
        ),
        sa.Column("anchored_at", _TIME, nullable=False, comment="from when an interval counts, without a start_at"),
        sa.Column("start_at", _TIME),
        sa.Column("end_at", _TIME),
        sa.Column("jitter_seconds", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("misfire", sa.Text(), nullable=False),
        sa.Column("catch_up_seconds", sa.Double(), nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("source", sa.Text(), comment="kit:NAME or file:NAME of who declared it; null: a caller of the API"),
        sa.Column("created_by", sa.Text(), comment="the name of the API key, or the account of a command"),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("changed_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("next_due_at", _TIME, comment="the next due time; null: there is none"),
        sa.Column("fires_at", _TIME, comment="next_due_at with its jitter; null while it is not enabled"),
        sa.Column("last_due_at", _TIME, comment="of the last task"),
        sa.Column("last_task_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_schedule"),
        sa.CheckConstraint("misfire IN ('skip','once','all')", name="misfire_known"),
        sa.CheckConstraint("overlap IN ('allow','skip')", name="overlap_known"),
        sa.CheckConstraint("fires_at IS NULL OR (enabled AND next_due_at IS NOT NULL)", name="live_fires"),
    )
    op.create_index("uq_schedule_name", "schedule", ["name"], unique=True)
    op.create_index("ix_schedule_fires_at", "schedule", ["fires_at"], postgresql_where=sa.text("fires_at IS NOT NULL"))
    op.create_table(
        "schedule_fire",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", _TIME, nullable=False, comment="without jitter; when it was asked for, if by hand"),
        sa.Column("until", _TIME, comment="the last of several due times that are too old to be told one by one"),
        sa.Column("fired_at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), comment="null: there is none, for the reason that is the outcome"),
        sa.Column("by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("schedule_id", "due_at", name="pk_schedule_fire"),
        sa.CheckConstraint("(outcome = 'submitted') = (task_id IS NOT NULL)", name="task_or_reason"),
    )
    op.create_index("ix_schedule_fire_fired_at", "schedule_fire", ["fired_at"])
    op.create_table(
        "standing_schedule",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("made_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_standing_schedule"),
        comment="each is made once, and stays as people leave it",
    )
    _rewrite_submit(_BOUNDS)


def downgrade() -> None:
    _rewrite_submit({after: before for before, after in _BOUNDS.items()})
    op.drop_table("standing_schedule")
    op.drop_table("schedule_fire")
    op.drop_table("schedule")


def _rewrite_submit(texts: dict[str, str]) -> None:
    """As it stands in the database, with these texts in it replaced: rights and owner stay."""
    connection = op.get_bind()
    find = sa.text("SELECT pg_get_functiondef(CAST('taskyard_sql.submit(text, json, json)' AS regprocedure))")
    defined = connection.execute(find).scalar_one()
    for before, after in texts.items():
        assert before in defined, before
        defined = defined.replace(before, after)
    connection.exec_driver_sql(defined, execution_options={"no_parameters": True})
