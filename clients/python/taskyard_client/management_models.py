"""What the API answers about the platform itself: workers, schedules, keys, the audit log, health."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from .models import Answer, WorkflowProgress


class OwnKey(Answer):
    """The key of the client. `queues` None: all; `admin` includes the other scopes."""

    id: UUID
    name: str
    scopes: list[str]
    queues: list[str] | None = None
    expires_at: datetime | None = None

    def has(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class Key(OwnKey):
    """`key`, the key itself, is told only when it has just been made."""

    prefix: str
    state: str
    created_at: datetime
    revoked_at: datetime | None = None
    key: str | None = None


class WaitingType(Answer):
    """`held`: those of `tasks` that wait for a limit."""

    name: str
    tasks: int
    held: int
    oldest_at: datetime


class WaitingTypes(Answer):
    """The types of the oldest tasks that wait in a queue; `has_more`: there are more tasks than were counted."""

    queue: str
    counted: int
    held: int
    has_more: bool
    items: list[WaitingType]


class RunningTask(Answer):
    """A task that a worker runs."""

    id: UUID
    name: str
    queue: str
    attempt: int
    started_at: datetime | None = None


class EndedAttempts(Answer):
    """How many ended since a worker's start, by their outcome; `retried`: failed, and tried again."""

    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    crashed: int = 0
    cancelled: int = 0


class Worker(Answer):
    """`tasks`, what it runs, is told of a single worker. `attempts` is None where an earlier release runs there, or the
    worker serves queues that the key may not see. A key without the scope `read` is told only id, state, and what was
    asked of the worker."""

    id: UUID
    state: str
    name: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    queues: list[str] = Field(default_factory=list)
    processes: int = 0
    processes_most: int = 0
    threads: int = 0
    running_tasks: int = 0
    running: list[UUID] = Field(default_factory=list)
    tasks: list[RunningTask] = Field(default_factory=list)
    memory_bytes: int | None = None
    children: list[dict[str, Any]] = Field(default_factory=list)
    started_at: datetime | None = None
    last_beat_at: datetime | None = None
    lost_at: datetime | None = None
    stopped_at: datetime | None = None
    drain_asked_at: datetime | None = None
    restart_asked_at: datetime | None = None
    processes_asked: str | None = None
    task_types: list[str] = Field(default_factory=list)
    attempts: EndedAttempts | None = None
    load_average: list[float] | None = None


class Fire(Answer):
    """What became of a due time; `outcome` other than `submitted`: why there is no task. `task_state`: as it is now."""

    due_at: datetime
    outcome: str
    task_id: UUID | None = None
    task_state: str | None = None
    until: datetime | None = None
    fired_at: datetime | None = None
    by_hand: bool = False


class Schedule(Answer):
    """A key without the scope `read` is told only id, `enabled`, version and times."""

    id: UUID
    enabled: bool
    version: int
    created_at: datetime
    changed_at: datetime
    name: str = ""
    next_fires: list[datetime] = Field(default_factory=list)
    task: dict[str, Any] = Field(default_factory=dict)
    trigger: dict[str, Any] = Field(default_factory=dict)
    misfire: str = ""
    overlap: str = ""
    catch_up_seconds: float = 0
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter_seconds: float = 0
    last_due_at: datetime | None = None
    last_task_id: UUID | None = None
    last_fire: Fire | None = None
    source: str | None = None
    created_by: str | None = None


class Preview(Answer):
    next_fires: list[datetime]


class WorkflowSummary(Answer):
    """A workflow of a list, without its steps."""

    id: UUID
    state: str
    name: str | None = None
    on_failure: str = "cancel_rest"
    progress: WorkflowProgress = WorkflowProgress()
    created_at: datetime
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None
    submitted_by: str | None = None
    callback_url: str | None = None


class TimelineEvent(Answer):
    """An entry of a timeline, of a task or of a workflow."""

    id: str
    kind: str
    at: datetime
    attempt: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class AuditTarget(Answer):
    type: str
    id: str | None = None


class AuditEntry(Answer):
    """A change: who made it, when, and from where."""

    id: UUID
    at: datetime
    action: str
    actor: str
    target: AuditTarget
    details: dict[str, Any] = Field(default_factory=dict)
    api_key_id: UUID | None = None
    address: str | None = None
    request_id: str | None = None
    on_behalf_of: str | None = None


class WebhookEndpoint(Answer):
    """`secret` is told only when it has just been made."""

    id: UUID
    url: str
    description: str = ""
    submitted_by: str | None = None
    created_at: datetime
    previous_until: datetime | None = None
    disabled_at: datetime | None = None
    secret: str | None = None


class BrokerServer(Answer):
    """`used_bytes` of `max_bytes`; None: no limit."""

    name: str = "redis"
    version: str = ""
    mode: str = ""
    uptime_seconds: int = 0
    used_bytes: int = 0
    max_bytes: int | None = None
    eviction_policy: str = ""
    evicted_keys: int = 0
    clients: int = 0
    max_clients: int | None = None


class BrokerQueue(Answer):
    name: str
    queued: int
    unacknowledged: int


class BrokerOutbox(Answer):
    pending: int
    oldest_at: datetime | None = None


class Broker(Answer):
    """`status`: up, or away, for a `reason`. `outbox` None: the key is restricted to queues."""

    status: str
    reason: str | None = None
    latency_ms: float | None = None
    server: BrokerServer | None = None
    queues: list[BrokerQueue] = Field(default_factory=list)
    outbox: BrokerOutbox | None = None


class CrashCause(Answer):
    """`code`: signal, out_of_memory, exit_code, thread_ended, worker_lost; None: only words are kept."""

    code: str | None = None
    signal: str | None = None
    exit_code: int | None = None


class DeadLetterGroup(Answer):
    name: str
    code: str | None = None
    count: int
    first_failed_at: datetime
    last_failed_at: datetime


class DeadLetterGroups(Answer):
    """By task type and error code, the largest first. `has_more`: older ones were not counted, or small groups are left
    out."""

    items: list[DeadLetterGroup]
    grouped: int
    has_more: bool = False


class Crash(Answer):
    """An attempt that ended with its process; `suspected`: others had begun there, too."""

    task_id: UUID
    name: str
    queue: str
    attempt: int
    outcome: str
    cause: CrashCause = CrashCause()
    message: str = ""
    worker: str | None = None
    child: str | None = None
    started_at: datetime | None = None
    finished_at: datetime
    peak_memory_bytes: int | None = None


class Component(Answer):
    status: str
    latency_ms: float | None = None
    reason: str | None = None


class Health(Answer):
    """`status`: healthy, degraded or unhealthy."""

    status: str
    components: dict[str, Component] = Field(default_factory=dict)
