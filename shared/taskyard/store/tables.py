"""The tables, with who writes which column.

Indexes are chosen for a million tasks, waiting or finished (see docs/decisions/0003-indexes.md): full ones
on the key and on (name, state, id), the rest partial, so that each row is in few of them at a time.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_TIME = DateTime(timezone=True)


def _now() -> Column[object]:
    return Column("created_at", _TIME, nullable=False, server_default=func.now())


task = Table(
    "task",
    metadata,
    # What was asked for (submit)
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("version", SmallInteger, nullable=False, server_default=text("1")),
    Column("max_attempts", Integer, nullable=False),
    Column("soft_timeout_seconds", Double, nullable=False),
    Column("hard_timeout_seconds", Double, nullable=False),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("on_cancel", Text, nullable=False, server_default=text("'cancel_children'")),
    Column("limits", JSONB),
    Column("unique_hold", Text, comment="'waiting' or 'active' where the task holds a unique key"),
    Column("request_id", Text),
    Column("traceparent", Text),
    Column("submitted_by", Text, comment="the name of the API key"),
    Column("allowed_queues", ARRAY(Text), comment="the key's queues, inherited by what the task submits"),
    Column("workflow_id", Uuid),
    Column("schedule_id", Uuid),
    Column("parent_id", Uuid),
    _now(),
    # Where it is (every verb)
    Column("state", Text, nullable=False),
    Column("run_at", _TIME, nullable=False, comment="when the coming or latest attempt was due"),
    Column("due_at", _TIME, comment="run_at while scheduled or retrying, else null: what promotion looks for"),
    Column("queued_at", _TIME, comment="when it last became queued"),
    Column("expires_at", _TIME),
    Column(
        "publication",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="grows with each entry to queued",
    ),
    Column("cancel_requested_at", _TIME),
    # Who runs it (claim; cleared when the attempt ends)
    Column("claim", Uuid, comment="the fencing token: minted by the child, set while running"),
    Column("worker_id", Uuid),
    Column("worker", Text, comment="name:child, kept for people"),
    Column("attempt", Integer, nullable=False, server_default=text("0"), comment="never decreases"),
    Column("started_at", _TIME),
    # What came of it (finish, rescue)
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("suspicions", Integer, nullable=False, server_default=text("0")),
    Column("put_offs", Integer, nullable=False, server_default=text("0")),
    Column("finished_at", _TIME),
    Column("result", JSONB),
    Column("error", JSONB),
    Column("partial", Boolean, nullable=False, server_default=text("false")),
    Column("discarded_at", _TIME),
    CheckConstraint(
        "state IN ('blocked','scheduled','queued','running','retrying','succeeded','failed','cancelled')",
        name="state_known",
    ),
    CheckConstraint("(state = 'running') = (claim IS NOT NULL)", name="running_is_claimed"),
    CheckConstraint(
        "(state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)", name="final_is_finished"
    ),
    CheckConstraint("(state IN ('scheduled','retrying')) = (due_at IS NOT NULL)", name="due_waits"),
    # PostgreSQL holds years that Python cannot read: such a row would stop whoever claims or lists it.
    CheckConstraint("expires_at BETWEEN '1970-01-01T00:00:00Z' AND '9000-01-01T00:00:00Z'", name="expires_readably"),
    Index("ix_task_name", "name", "state", "id"),
    Index("ix_task_live", "queue", "state", "id", postgresql_where=text("finished_at IS NULL")),
    Index("ix_task_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "ix_task_expires",
        "expires_at",
        postgresql_where=text("expires_at IS NOT NULL AND finished_at IS NULL"),
    ),
    Index("ix_task_ended", "queue", "state", "id", postgresql_where=text("finished_at IS NOT NULL")),
    Index(
        "ix_task_dead_letter",
        "queue",
        "name",
        "id",
        postgresql_where=text("state = 'failed' AND discarded_at IS NULL"),
    ),
    Index("ix_task_suspect", "queue", "id", postgresql_where=text("suspicions > 0 AND finished_at IS NULL")),
    Index(
        "ix_task_dead_letter_queue",
        "queue",
        "id",
        postgresql_where=text("state = 'failed' AND discarded_at IS NULL"),
    ),
    Index(
        "ix_task_dead_letter_code",
        "queue",
        text("(error ->> 'code')"),
        "id",
        postgresql_where=text("state = 'failed' AND discarded_at IS NULL"),
    ),
    Index(
        "ix_task_dead_letter_name_code",
        "queue",
        "name",
        text("(error ->> 'code')"),
        "id",
        postgresql_where=text("state = 'failed' AND discarded_at IS NULL"),
    ),
    Index("ix_task_workflow", "workflow_id", "id", postgresql_where=text("workflow_id IS NOT NULL")),
    Index("ix_task_parent", "parent_id", "id", postgresql_where=text("parent_id IS NOT NULL")),
    Index("ix_task_tags", "tags", postgresql_using="gin", postgresql_where=text("tags <> '{}'")),
    postgresql_with={"fillfactor": "85"},
)

task_progress = Table(
    "task_progress",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("attempt", Integer, nullable=False, comment="shown while it is the task's: the next one begins with none"),
    Column("current", Double, nullable=False),
    Column("total", Double),
    Column("message", Text, nullable=False, server_default=text("''")),
    Column("updated_at", _TIME, nullable=False, server_default=func.now()),
    postgresql_with={"fillfactor": "50"},
)

pace = Table(
    "pace",
    metadata,
    Column("name", Text, primary_key=True),
    Column("free_at", _TIME, nullable=False, comment="when the next one may go"),
    comment="what goes in single file: replays",
)

timeline_seq = Sequence("timeline_seq", metadata=metadata)

task_attempt = Table(
    "task_attempt",
    metadata,
    Column("id", BigInteger, timeline_seq, primary_key=True, server_default=timeline_seq.next_value()),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column(
        "outcome", Text, nullable=False, comment="succeeded, failed, retrying, cancelled, released, crashed, suspected"
    ),
    Column("worker", Text),
    Column("queue", Text, nullable=False),
    Column("started_at", _TIME),
    Column("finished_at", _TIME, nullable=False, server_default=func.now()),
    Column("retry_at", _TIME),
    Column("error", JSONB),
    Column("traceback", Text),
    Column("cause", Text, comment="what killed or released it"),
    Column("peak_memory_bytes", BigInteger),
    Index("ix_task_attempt_task", "task_id", "id"),
)

task_event = Table(
    "task_event",
    metadata,
    Column("id", BigInteger, timeline_seq, primary_key=True, server_default=timeline_seq.next_value()),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", _TIME, nullable=False, server_default=func.now()),
    Column(
        "kind",
        Text,
        nullable=False,
        comment="stage, log, cancel_requested, cancelled, retried, put_off, expired, ...",
    ),
    Column("data", JSONB, nullable=False, server_default=text("'{}'")),
    Index("ix_task_event_task", "task_id", "id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("task_ids", ARRAY(Uuid), nullable=False),
    _now(),
    postgresql_with={
        "autovacuum_vacuum_threshold": "5000",
        "autovacuum_vacuum_scale_factor": "0",
    },
)

unique_key = Table(
    "unique_key",
    metadata,
    Column("name", Text, primary_key=True, comment="the task type: keys of different types don't meet"),
    Column("key", Text, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("hold", Text, nullable=False),
    Index("ix_unique_key_task", "task_id"),
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
    _now(),
    Index("ix_idempotency_key_created_at", "created_at"),
)

queue = Table(
    "queue",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused_at", _TIME),
    Column("concurrent", Integer),
    Column("per_second", Double),
    _now(),
)

queue_depth = Table(
    "queue_depth",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("tasks", BigInteger, nullable=False),
    Column("oldest_at", _TIME),
    Column("taken_at", _TIME, nullable=False, server_default=func.now()),
)

queue_minute = Table(
    "queue_minute",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("minute", _TIME, primary_key=True),
    Column("finished", BigInteger, nullable=False, server_default=text("0")),
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
)

worker = Table(
    "worker",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("task_types", ARRAY(Text), nullable=False),
    Column("processes", Integer, nullable=False),
    Column("threads", Integer, nullable=False),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'running'"),
        comment="running, draining, stopped, lost",
    ),
    Column("memory_bytes", BigInteger),
    Column("children", JSONB, nullable=False, server_default=text("'[]'")),
    Column(
        "begun",
        ARRAY(Uuid),
        nullable=False,
        server_default=text("'{}'"),
        comment="tasks that had begun at the last beat",
    ),
    Column("started_at", _TIME, nullable=False, server_default=func.now()),
    Column("beat_at", _TIME, nullable=False, server_default=func.now()),
    Column("lost_at", _TIME),
    Column("stopped_at", _TIME),
    Index("ix_worker_live", "beat_at", postgresql_where=text("lost_at IS NULL AND stopped_at IS NULL")),
)

leader = Table(
    "leader",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("holder_name", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("ticked_at", _TIME),
    Column("broker_lost_at", _TIME),  # since when the leader has not reached Redis
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("prefix", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the whole key: it has 256 random bits"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("queues", ARRAY(Text)),
    Column("expires_at", _TIME),
    Column("revoked_at", _TIME),
    _now(),
)

tree_item = Table(
    "tree_item",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("object_type", Text, nullable=False, server_default=text("'file'")),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("parent_id", Uuid),
    Column("storage_key", Text, nullable=False),
    Column("submitted_by", Text),
    Column("task_id", Uuid, comment="the task that made it"),
    _now(),
    Index("ix_tree_item_parent", "parent_id", "id", postgresql_where=text("parent_id IS NOT NULL")),
    Index("ix_tree_item_task", "task_id", "id", postgresql_where=text("task_id IS NOT NULL")),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", _TIME, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False, comment="the name of the API key, or cli:<account>@<host>"),
    Column("api_key_id", Uuid),
    Column("action", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("target_id", Text, comment="null where many were changed at once: details name them"),
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    Column("address", Text, comment="the caller's"),
    Column("request_id", Text),
    Index("ix_audit_action", "action", "id"),
    Index("ix_audit_actor", "actor", "id"),
    Index("ix_audit_actor_action", "actor", "action", "id"),
    Index("ix_audit_target", "target_id", "id", postgresql_where=text("target_id IS NOT NULL")),
    comment="append-only: a trigger refuses every other write",
)

# What Alembic does not compare, test_migrations.py does.
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
