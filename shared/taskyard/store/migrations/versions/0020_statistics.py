"""statistics

Attempts counted by type over time with histograms, failures in groups, and samples of queues and workers. The release
before knows none of these tables; it goes on writing `queue_minute`, which this one neither reads nor writes.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_SPARE = {"fillfactor": "70"}


def upgrade() -> None:
    op.create_table(
        "counted_mark",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False, comment="the last id of task_attempt that is counted"),
        sa.PrimaryKeyConstraint("name", name="pk_counted_mark"),
        comment="moves in the transaction of the counts, so that each attempt is counted exactly once",
    )
    _make_counts()
    _make_error_groups()
    _make_samples()
    op.create_table_comment(
        "queue_minute",
        "no longer written nor read: task_count took its place. The release before still does both",
    )


def _number(name: str, kind: type[sa.types.TypeEngine[Any]], comment: str | None = None) -> sa.Column[object]:
    return sa.Column(name, kind(), nullable=False, server_default=sa.text("0"), comment=comment)


def _histogram(name: str, comment: str | None = None) -> sa.Column[object]:
    return sa.Column(name, postgresql.ARRAY(sa.BigInteger()), nullable=False, comment=comment)


def _make_counts() -> None:
    op.create_table(
        "task_count",
        sa.Column("span", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="the task type"),
        *(_number(name, sa.BigInteger) for name in ("succeeded", "failed", "retried", "crashed", "cancelled")),
        _number("run_seconds", sa.Double, "of all of them together"),
        _number("wait_seconds", sa.Double, "from queued to started"),
        _histogram("runs", "a histogram: the buckets of domain/statistics.py"),
        _histogram("waits"),
        sa.PrimaryKeyConstraint("span", "at", "queue", "name", name="pk_task_count"),
        comment="attempts that ended",
        postgresql_with=_SPARE,
    )


def _make_error_groups() -> None:
    op.create_table(
        "error_group",
        sa.Column(
            "id", sa.Uuid(), nullable=False, comment="made of queue, name, code and place: domain/error_groups.py"
        ),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="the task type"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False, comment="module:function; empty where it is not known"),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", _TIME, nullable=False),
        sa.Column("last_seen_at", _TIME, nullable=False),
        sa.Column(
            "task_ids",
            postgresql.ARRAY(sa.Uuid()),
            nullable=False,
            comment="of the newest failures, newest first",
        ),
        sa.Column("solved_at", _TIME),
        sa.Column("solved_by", sa.Text(), comment="the name of the API key"),
        sa.Column("returned_at", _TIME, comment="the first failure after solved_at"),
        sa.PrimaryKeyConstraint("id", name="pk_error_group"),
        comment="failures that are alike; what was said of them stands in the attempts",
        postgresql_with=_SPARE,
    )
    op.create_table(
        "error_count",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("span", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "span", "at", name="pk_error_count"),
        postgresql_with=_SPARE,
    )


def _make_samples() -> None:
    op.create_table(
        "queue_sample",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("span", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column(
            "total",
            sa.BigInteger(),
            nullable=False,
            comment="of the tasks in all samples; divided by them: the average",
        ),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "span", "at", "state", name="pk_queue_sample"),
        postgresql_with=_SPARE,
    )
    op.create_table(
        "worker_sample",
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("at", _TIME, nullable=False, comment="the minute"),
        sa.Column("memory_bytes", sa.BigInteger()),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "at", name="pk_worker_sample"),
    )


def downgrade() -> None:
    for table in ("worker_sample", "queue_sample", "error_count", "error_group", "task_count", "counted_mark"):
        op.drop_table(table)
    op.drop_table_comment("queue_minute")
