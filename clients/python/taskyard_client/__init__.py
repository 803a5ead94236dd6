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
from .models import (
    Accepted,
    Cancellation,
    Change,
    Handled,
    Item,
    Load,
    Missed,
    Purge,
    Queue,
    Status,
    Task,
    TaskEvent,
    TaskType,
    Workflow,
    WorkflowStep,
)
from .options import NewTask, SubmitOptions
from .retries import Retries
from .tracing import passing_on

__all__ = [
    "Accepted",
    "ApiAway",
    "ApiRefused",
    "AsyncClient",
    "Cancellation",
    "Change",
    "Client",
    "ClientError",
    "Conflict",
    "Explanation",
    "Handled",
    "Invalid",
    "Item",
    "Load",
    "Missed",
    "NewTask",
    "NotAllowed",
    "NotFound",
    "Purge",
    "Queue",
    "RateLimited",
    "Retries",
    "Status",
    "SubmitOptions",
    "Task",
    "TaskCancelled",
    "TaskEvent",
    "TaskFailed",
    "TaskType",
    "WaitTimedOut",
    "Workflow",
    "WorkflowStep",
    "chain",
    "chord",
    "group",
    "passing_on",
    "previous",
    "step",
    "workflow_fields",
]
