"""The Python client of Taskyard: submit tasks, wait for them, follow, cancel and retry them, move files.

    from taskyard_client import Client

    with Client("https://tasks.example.org", "ty_...") as client:
        task = client.submit("reports.generate", {"report_type": "tasks"}, queue="low_priority")
        print(client.wait(task.id, timeout=300).value())

`AsyncClient` has the same methods as coroutines. Both raise the errors of `errors.py` and nothing of the HTTP library.
"""

from __future__ import annotations

from .async_client import AsyncClient
from .canvas import chain, chord, group, previous, step, workflow_fields
from .change_models import Handled, HandledInPart, Purge
from .client import Client
from .errors import (
    ApiAway,
    ApiRefused,
    ClientError,
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    RateLimited,
    TaskCancelled,
    TaskFailed,
    WaitTimedOut,
)
from .explanations import Explanation
from .management_models import (
    AuditEntry,
    Broker,
    Crash,
    Fire,
    Health,
    Key,
    OwnKey,
    Schedule,
    TimelineEvent,
    WaitingTypes,
    WebhookEndpoint,
    Worker,
    WorkflowSummary,
)
from .models import (
    Accepted,
    Cancellation,
    Change,
    Item,
    Load,
    Missed,
    Queue,
    Status,
    Task,
    TaskEvent,
    Workflow,
    WorkflowStep,
)
from .options import NewTask, SubmitOptions
from .over_time_models import ErrorDetails, ErrorGroup, QueueHistory, Statistics, WorkerHistory
from .pages import Page
from .retries import Retries
from .tracing import passing_on
from .type_models import TaskType

__all__ = [
    "Accepted",
    "ApiAway",
    "ApiRefused",
    "AsyncClient",
    "AuditEntry",
    "Broker",
    "Cancellation",
    "Change",
    "Client",
    "ClientError",
    "Conflict",
    "Crash",
    "ErrorDetails",
    "ErrorGroup",
    "Explanation",
    "Fire",
    "Handled",
    "HandledInPart",
    "Health",
    "Invalid",
    "Item",
    "Key",
    "Load",
    "Missed",
    "NewTask",
    "NotAllowed",
    "NotFound",
    "OwnKey",
    "Page",
    "Purge",
    "Queue",
    "QueueHistory",
    "RateLimited",
    "Retries",
    "Schedule",
    "Statistics",
    "Status",
    "SubmitOptions",
    "Task",
    "TaskCancelled",
    "TaskEvent",
    "TaskFailed",
    "TaskType",
    "TimelineEvent",
    "WaitTimedOut",
    "WaitingTypes",
    "WebhookEndpoint",
    "Worker",
    "WorkerHistory",
    "Workflow",
    "WorkflowStep",
    "WorkflowSummary",
    "chain",
    "chord",
    "group",
    "passing_on",
    "previous",
    "step",
    "workflow_fields",
]
