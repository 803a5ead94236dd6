"""The task, with who writes which column, and what belongs to it: progress, unique key, timeline, way to Redis."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    Sequence,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, created_at, metadata

_DEAD_LETTER = text("state = 'failed' AND discarded_at IS NULL")
# Tasks that have to run apart from the others: see `taskyard_worker.quarantine`.
_APART = text("(suspicions > 0 OR crashes > 0 OR displacements > 0) AND finished_at IS NULL")

# Of tasks that wait, so that a claim makes no entry. The words are those of the verb `expire`.
_EXPIRES = text("expires_at IS NOT NULL AND state IN ('blocked','scheduled','queued','retrying')")
_LIMITED = text("limited IN ('waiting', 'granted')")
_LIMIT_KEY = text("coalesce(limits ->> 'key', '')")

task = Table(
    "task",
    metadata,
    # The request (written by submit)
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
    Column("limited", Text, comment="waiting for its limit, granted, or freed: lifecycle/limits.py"),
    Column("unique_hold", Text, comment="'waiting' or 'active' where the task holds a unique key"),
    Column("request_id", Text),
    Column("traceparent", Text),
    Column("submitted_by", Text, comment="the name of the API key"),
    Column("allowed_queues", ARRAY(Text), comment="the key's queues, inherited by what the task submits"),
    Column("workflow_id", Uuid),
    Column("schedule_id", Uuid),
    Column("parent_id", Uuid),
    Column("callback", JSONB, comment="what is told to whom: domain/callbacks.py"),
    Column("operation_id", Uuid, comment="the one that last replayed, cancelled, discarded or restored it"),
    created_at(),
    # What no claim and no ordinary end changes, before what they do: of a row that stays on its page, the log has what
    # lies between the first byte that changed and the last one.
    Column("run_at", TIME, nullable=False, comment="when the coming or latest attempt was due"),
    Column("due_at", TIME, comment="run_at while scheduled or retrying, else null: what promotion looks for"),
    Column("queued_at", TIME, comment="when it last became queued"),
    Column("expires_at", TIME),
    Column("publication", Integer, nullable=False, server_default=text("0"), comment="grows with each entry to queued"),
    Column("cancel_requested_at", TIME),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("suspicions", Integer, nullable=False, server_default=text("0")),
    Column(
        "displacements",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="how often its process was ended for another task's fault",
    ),
    Column("put_offs", Integer, nullable=False, server_default=text("0")),
    Column("partial", Boolean, nullable=False, server_default=text("false")),
    # The state (written by every verb)
    Column("state", Text, nullable=False),
    # The current attempt (written by claim; cleared when it ends)
    Column("claim", Uuid, comment="the fencing token: minted by the child, set while running"),
    Column("worker_id", Uuid),
    Column("worker", Text, comment="name:child, kept for people"),
    Column("attempt", Integer, nullable=False, server_default=text("0"), comment="never decreases"),
    Column("started_at", TIME),
    # The outcome (written by finish and rescue)
    Column("finished_at", TIME),
    Column("result", JSONB),
    Column("error", JSONB),
    Column("discarded_at", TIME),
    CheckConstraint(
        "state IN ('blocked','scheduled','queued','running','retrying','succeeded','failed','cancelled')",
        name="state_known",
    ),
    CheckConstraint("(state = 'running') = (claim IS NOT NULL)", name="running_is_claimed"),
    CheckConstraint(
        "(state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)", name="final_is_finished"
    ),
    CheckConstraint("(state IN ('scheduled','retrying')) = (due_at IS NOT NULL)", name="due_waits"),
    # PostgreSQL knows years that Python cannot read: such a row could be neither claimed nor listed.
    CheckConstraint("expires_at BETWEEN '1970-01-01T00:00:00Z' AND '9000-01-01T00:00:00Z'", name="expires_readably"),
    # Not of those that run, so that a claim makes no entry. What runs is in `ix_task_live`, and little.
    Index("ix_task_named", "name", "state", "id", postgresql_where=text("state <> 'running'")),
    Index("ix_task_live", "queue", "state", "id", postgresql_where=text("finished_at IS NULL")),
    Index("ix_task_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("ix_task_expiry", "expires_at", postgresql_where=_EXPIRES),
    Index("ix_task_ended", "queue", "state", "id", postgresql_where=text("finished_at IS NOT NULL")),
    Index("ix_task_dead_letter", "queue", "name", "id", postgresql_where=_DEAD_LETTER),
    Index("ix_task_apart", "queue", "id", postgresql_where=_APART),
    Index("ix_task_dead_letter_queue", "queue", "id", postgresql_where=_DEAD_LETTER),
    Index("ix_task_dead_letter_code", "queue", text("(error ->> 'code')"), "id", postgresql_where=_DEAD_LETTER),
    Index(
        "ix_task_dead_letter_name_code",
        "queue",
        "name",
        text("(error ->> 'code')"),
        "id",
        postgresql_where=_DEAD_LETTER,
    ),
    Index("ix_task_discarded", "queue", "id", postgresql_where=text("discarded_at IS NOT NULL")),
    Index("ix_task_blocked", "id", postgresql_where=text("state = 'blocked'")),
    Index("ix_task_workflow", "workflow_id", "id", postgresql_where=text("workflow_id IS NOT NULL")),
    Index("ix_task_limited_key", _LIMIT_KEY, "limited", "queue", "id", postgresql_where=_LIMITED),
    Index("ix_task_limited_queue", "queue", "limited", _LIMIT_KEY, "id", postgresql_where=_LIMITED),
    Index("ix_task_schedule", "schedule_id", "id", postgresql_where=text("schedule_id IS NOT NULL")),
    Index("ix_task_parent", "parent_id", "id", postgresql_where=text("parent_id IS NOT NULL")),
    Index("ix_task_operation", "operation_id", "id", postgresql_where=text("operation_id IS NOT NULL")),
    Index("ix_task_created", "created_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
    Index("ix_task_tags", "tags", postgresql_using="gin", postgresql_where=text("tags <> '{}'")),
    postgresql_with={"fillfactor": "45"},
)

task_progress = Table(
    "task_progress",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("attempt", Integer, nullable=False, comment="shown while it is the task's: the next one begins with none"),
    Column("current", Double, nullable=False),
    Column("total", Double),
    Column("message", Text, nullable=False, server_default=text("''")),
    Column("updated_at", TIME, nullable=False, server_default=func.now()),
    postgresql_with={"fillfactor": "50"},
)

# Of tasks that walk over many items; kept until the task's row goes, also through a retry that a person asks for.
task_mark = Table(
    "task_mark",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("position", BigInteger, nullable=False, comment="items of its walk that are done"),
    Column("moved_at", TIME, nullable=False, server_default=func.now()),
    postgresql_with={"fillfactor": "50"},
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

# Attempts and events are numbered by one sequence, so that they can be merged.
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
    Column("started_at", TIME),
    Column("finished_at", TIME, nullable=False, server_default=func.now()),
    Column("retry_at", TIME),
    Column("error", JSONB),
    Column("traceback", Text),
    Column("cause", Text, comment="what killed or released it"),
    Column("peak_memory_bytes", BigInteger),
    Column("queued_at", TIME, comment="when the task became queued before it began"),
    Index("ix_task_attempt_task", "task_id", "id"),
    Index("ix_task_attempt_crash", "id", postgresql_where=text("outcome IN ('crashed','suspected')")),
)

task_event = Table(
    "task_event",
    metadata,
    Column("id", BigInteger, timeline_seq, primary_key=True, server_default=timeline_seq.next_value()),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", TIME, nullable=False, server_default=func.now()),
    Column(
        "kind", Text, nullable=False, comment="stage, log, cancel_requested, cancelled, retried, put_off, expired, ..."
    ),
    Column("data", JSONB, nullable=False, server_default=text("'{}'")),
    Index("ix_task_event_task", "task_id", "id"),
)

# Queued tasks that have to be announced to Redis.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("task_ids", ARRAY(Uuid), nullable=False),
    created_at(),
    postgresql_with={"autovacuum_vacuum_threshold": "5000", "autovacuum_vacuum_scale_factor": "0"},
)

application_outbox = Table(
    "application_outbox",
    metadata,
    Column("xid", BigInteger, primary_key=True, autoincrement=False, comment="of the transaction"),
    Column("task_id", Uuid, primary_key=True),
    Column("created_at", TIME, nullable=False),
    comment="tasks that applications submitted in their own transactions: the relay publishes them",
    postgresql_with={"autovacuum_vacuum_threshold": "5000", "autovacuum_vacuum_scale_factor": "0"},
)

limit_mark = Table(
    "limit_mark",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("key", Text, nullable=False, comment="task:KEY or queue:NAME"),
    Column("due_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_limit_mark_due", "due_at", "id"),
    Index("ix_limit_mark_key", "key", "due_at"),
    comment="limits that the leader has to look at: something waits for them, or was given back",
    postgresql_with={"autovacuum_vacuum_threshold": "5000", "autovacuum_vacuum_scale_factor": "0"},
)

limit_pace = Table(
    "limit_pace",
    metadata,
    Column("name", Text, primary_key=True, comment="task:KEY or queue:NAME"),
    Column("last_at", TIME, nullable=False, comment="when it last gave a grant, less what a rate may catch up with"),
    postgresql_with={"fillfactor": "50"},
)

left_children = Table(
    "left_children",
    metadata,
    Column("root_id", Uuid, primary_key=True, comment="the task that was cancelled in the first place"),
    Column("parent_id", Uuid, primary_key=True, comment="whose children are to be cancelled"),
    Column("after_id", Uuid, nullable=False, comment="the last child that has been dealt with"),
    Column("cancelled_at", TIME, nullable=False, comment="of the parent: later ones are not meant"),
    comment="tasks whose children a cancellation has left to the leader",
)

pace = Table(
    "pace",
    metadata,
    Column("name", Text, primary_key=True),
    Column("free_at", TIME, nullable=False, comment="when the next one may go"),
    comment="what goes in single file: replays",
)
