"""the core tables

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DEAD_LETTER = sa.text("state = 'failed' AND discarded_at IS NULL")


def upgrade() -> None:
    op.execute("CREATE SEQUENCE timeline_seq")
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the whole key: it has 256 random bits"
        ),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("queues", sa.ARRAY(sa.Text())),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("name", name=op.f("uq_api_key_name")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="the name of the API key, or cli:<account>@<host>"),
        sa.Column("api_key_id", sa.Uuid()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), comment="null where many were changed at once: details name them"),
        sa.Column("details", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("address", sa.Text(), comment="the caller's"),
        sa.Column("request_id", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="append-only: a trigger refuses every other write",
    )
    op.create_index("ix_audit_action", "audit", ["action", "id"])
    op.create_index("ix_audit_actor", "audit", ["actor", "id"])
    op.create_index("ix_audit_actor_action", "audit", ["actor", "action", "id"])
    op.create_index("ix_audit_target", "audit", ["target_id", "id"], postgresql_where=sa.text("target_id IS NOT NULL"))
    op.execute(
        """
        CREATE FUNCTION refuse_changes_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE insufficient_privilege USING MESSAGE = 'the audit log is append-only: ' || TG_OP || ' refused';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_changes_of_audit()
        """
    )
    op.create_table(
        "idempotency_key",
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="SHA-256 of method, path and body"),
        sa.Column("status", sa.SmallInteger(), comment="null while the first request is being answered"),
        sa.Column("headers", JSONB),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("api_key_id", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index("ix_idempotency_key_created_at", "idempotency_key", ["created_at"])
    op.create_table(
        "leader",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("holder_name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("ticked_at", TIME),
        sa.Column("broker_lost_at", TIME),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leader")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("task_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        postgresql_with={"autovacuum_vacuum_threshold": "5000", "autovacuum_vacuum_scale_factor": "0"},
    )
    op.create_table(
        "pace",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("free_at", TIME, nullable=False, comment="when the next one may go"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pace")),
        comment="what goes in single file: replays",
    )
    op.create_table(
        "queue",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused_at", TIME),
        sa.Column("concurrent", sa.Integer()),
        sa.Column("per_second", sa.Double()),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queue")),
    )
    op.create_table(
        "queue_depth",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.Column("oldest_at", TIME),
        sa.Column("taken_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("queue", "state", name=op.f("pk_queue_depth")),
    )
    op.create_table(
        "queue_minute",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("minute", TIME, nullable=False),
        sa.Column("finished", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("queue", "minute", name=op.f("pk_queue_minute")),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("params", JSONB, nullable=False),
        sa.Column("version", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("soft_timeout_seconds", sa.Double(), nullable=False),
        sa.Column("hard_timeout_seconds", sa.Double(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("on_cancel", sa.Text(), server_default=sa.text("'cancel_children'"), nullable=False),
        sa.Column("limits", JSONB),
        sa.Column("unique_hold", sa.Text(), comment="'waiting' or 'active' where the task holds a unique key"),
        sa.Column("request_id", sa.Text()),
        sa.Column("traceparent", sa.Text()),
        sa.Column("submitted_by", sa.Text(), comment="the name of the API key"),
        sa.Column(
            "allowed_queues", sa.ARRAY(sa.Text()), comment="the key's queues, inherited by what the task submits"
        ),
        sa.Column("workflow_id", sa.Uuid()),
        sa.Column("schedule_id", sa.Uuid()),
        sa.Column("parent_id", sa.Uuid()),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("run_at", TIME, nullable=False, comment="when the coming or latest attempt was due"),
        sa.Column("due_at", TIME, comment="run_at while scheduled or retrying, else null: what promotion looks for"),
        sa.Column("queued_at", TIME, comment="when it last became queued"),
        sa.Column("expires_at", TIME),
        sa.Column(
            "publication",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="grows with each entry to queued",
        ),
        sa.Column("cancel_requested_at", TIME),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("crashes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("suspicions", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("put_offs", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("partial", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("claim", sa.Uuid(), comment="the fencing token: minted by the child, set while running"),
        sa.Column("worker_id", sa.Uuid()),
        sa.Column("worker", sa.Text(), comment="name:child, kept for people"),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="never decreases"),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("result", JSONB),
        sa.Column("error", JSONB),
        sa.Column("discarded_at", TIME),
        sa.CheckConstraint("(state = 'running') = (claim IS NOT NULL)", name=op.f("ck_task_running_is_claimed")),
        sa.CheckConstraint(
            "(state IN ('scheduled','retrying')) = (due_at IS NOT NULL)", name=op.f("ck_task_due_waits")
        ),
        sa.CheckConstraint(
            "expires_at BETWEEN '1970-01-01T00:00:00Z' AND '9000-01-01T00:00:00Z'",
            name=op.f("ck_task_expires_readably"),
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_task_final_is_finished"),
        ),
        sa.CheckConstraint(
            "state IN ('blocked','scheduled','queued','running','retrying','succeeded','failed','cancelled')",
            name=op.f("ck_task_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index("ix_task_dead_letter", "task", ["queue", "name", "id"], postgresql_where=DEAD_LETTER)
    op.create_index("ix_task_dead_letter_queue", "task", ["queue", "id"], postgresql_where=DEAD_LETTER)
    op.create_index(
        "ix_task_dead_letter_code",
        "task",
        ["queue", sa.literal_column("(error ->> 'code')"), "id"],
        postgresql_where=DEAD_LETTER,
    )
    op.create_index(
        "ix_task_dead_letter_name_code",
        "task",
        ["queue", "name", sa.literal_column("(error ->> 'code')"), "id"],
        postgresql_where=DEAD_LETTER,
    )
    op.create_index("ix_task_due", "task", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index(
        "ix_task_ended", "task", ["queue", "state", "id"], postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.create_index(
        "ix_task_expires",
        "task",
        ["expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_index("ix_task_live", "task", ["queue", "state", "id"], postgresql_where=sa.text("finished_at IS NULL"))
    op.create_index("ix_task_name", "task", ["name", "state", "id"])
    op.create_index("ix_task_parent", "task", ["parent_id", "id"], postgresql_where=sa.text("parent_id IS NOT NULL"))
    op.create_index("ix_task_tags", "task", ["tags"], postgresql_using="gin", postgresql_where=sa.text("tags <> '{}'"))
    op.create_index(
        "ix_task_suspect", "task", ["queue", "id"], postgresql_where=sa.text("suspicions > 0 AND finished_at IS NULL")
    )
    op.create_index(
        "ix_task_workflow", "task", ["workflow_id", "id"], postgresql_where=sa.text("workflow_id IS NOT NULL")
    )
    op.create_table(
        "task_attempt",
        sa.Column("id", sa.BigInteger(), server_default=sa.text("nextval('timeline_seq')"), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=False,
            comment="succeeded, failed, retrying, cancelled, released, crashed, suspected",
        ),
        sa.Column("worker", sa.Text()),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("retry_at", TIME),
        sa.Column("error", JSONB),
        sa.Column("traceback", sa.Text()),
        sa.Column("cause", sa.Text(), comment="what killed or released it"),
        sa.Column("peak_memory_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_attempt")),
    )
    op.create_index("ix_task_attempt_task", "task_attempt", ["task_id", "id"])
    op.create_table(
        "task_event",
        sa.Column("id", sa.BigInteger(), server_default=sa.text("nextval('timeline_seq')"), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="stage, log, cancel_requested, cancelled, retried, put_off, expired, ...",
        ),
        sa.Column("data", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_event")),
    )
    op.create_index("ix_task_event_task", "task_event", ["task_id", "id"])
    op.create_table(
        "task_progress",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            comment="shown while it is the task's: the next one begins with none",
        ),
        sa.Column("current", sa.Double(), nullable=False),
        sa.Column("total", sa.Double()),
        sa.Column("message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("updated_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_task_progress")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "tree_item",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), server_default=sa.text("'file'"), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Uuid()),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("submitted_by", sa.Text()),
        sa.Column("task_id", sa.Uuid(), comment="the task that made it"),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tree_item")),
    )
    op.create_index(
        "ix_tree_item_parent", "tree_item", ["parent_id", "id"], postgresql_where=sa.text("parent_id IS NOT NULL")
    )
    op.create_index(
        "ix_tree_item_task", "tree_item", ["task_id", "id"], postgresql_where=sa.text("task_id IS NOT NULL")
    )
    op.create_table(
        "unique_key",
        sa.Column("name", sa.Text(), nullable=False, comment="the task type: keys of different types don't meet"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "key", name=op.f("pk_unique_key")),
    )
    op.create_index("ix_unique_key_task", "unique_key", ["task_id"])
    op.create_table(
        "worker",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("task_types", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("processes", sa.Integer(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'running'"),
            nullable=False,
            comment="running, draining, stopped, lost",
        ),
        sa.Column("memory_bytes", sa.BigInteger()),
        sa.Column("children", JSONB, server_default=sa.text("'[]'"), nullable=False),
        sa.Column(
            "begun",
            sa.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="tasks that had begun at the last beat",
        ),
        sa.Column("started_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("beat_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("lost_at", TIME),
        sa.Column("stopped_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_index(
        "ix_worker_live", "worker", ["beat_at"], postgresql_where=sa.text("lost_at IS NULL AND stopped_at IS NULL")
    )


def downgrade() -> None:
    # Indexes go with their tables.
    op.drop_table("worker")
    op.drop_table("unique_key")
    op.drop_table("tree_item")
    op.drop_table("task_progress")
    op.drop_table("task_event")
    op.drop_table("task_attempt")
    op.drop_table("task")
    op.drop_table("queue_minute")
    op.drop_table("queue_depth")
    op.drop_table("queue")
    op.drop_table("pace")
    op.drop_table("outbox")
    op.drop_table("leader")
    op.drop_table("idempotency_key")
    op.drop_table("audit")
    op.execute("DROP FUNCTION refuse_changes_of_audit()")
    op.drop_table("api_key")
    op.execute("DROP SEQUENCE timeline_seq")
