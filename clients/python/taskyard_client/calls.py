"""The calls of the API as data: what is sent, and what the answer is read into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx2
from pydantic import BaseModel, ValidationError

from .change_models import HandledInPart, Purge
from .errors import ApiAway, ApiRefused, refusal
from .explanations import Explanation
from .models import (
    Batch,
    Cancellation,
    Item,
    Load,
    Nothing,
    Queue,
    QueuePage,
    Status,
    Task,
    Workflow,
    WorkflowCancellation,
)
from .options import NewTask, Params, encoded, task_fields
from .pages import Page
from .retries import retry_after
from .transfers import Upload
from .type_models import TaskType

A = TypeVar("A", bound=BaseModel)

_BATCH = 1_000
CONNECT_SECONDS = 5.0
# Between two bytes of an answer.
READ_SECONDS = 30.0
# Heartbeats come every 15 s: after three missing ones the connection is dead.
SILENCE_SECONDS = 45.0
# Who only waits for the end rather asks again.
HEARTBEAT_SECONDS = 20.0
# For a file, with all attempts.
TRANSFER_SECONDS = 3600.0
_JSON = {"Content-Type": "application/json"}
_UNAVAILABLE = frozenset({502, 503, 504})
# The connection was not made, so nothing was sent.
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True)
class Call(Generic[A]):
    """`is_safe`: sending it twice does it once. `gone_is_done`: a 404 after a lost answer is what was wanted.
    `waits`: seconds that the API may take before it answers. `seconds`: instead of those of `Retries`."""

    answer: type[A]
    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Upload | None = None
    is_safe: bool = True
    gone_is_done: bool = False
    waits: float = 0.0
    seconds: float | None = None

    def timeout(self, left: float) -> httpx2.Timeout:
        """Of one attempt, when `left` seconds remain for the call."""
        return httpx2.Timeout(
            min(READ_SECONDS + self.waits, max(left, 0.01)), connect=min(CONNECT_SECONDS, left or 0.01)
        )


def submit(name: str, params: Params | None, options: Mapping[str, Any]) -> Call[Task]:
    fields, key = _taken_apart(options)
    return keyed(Task, "tasks", task_fields(name, params, fields), key)


def submit_many(tasks: Sequence[NewTask], key: str | None) -> Call[Batch]:
    """Raises ValueError for none, and for more than 1,000: they are accepted all or none."""
    if not 1 <= len(tasks) <= _BATCH:
        raise ValueError(f"submit_many takes 1 to {_BATCH} tasks, which are accepted all or none; {len(tasks)} given")
    return keyed(Batch, "tasks/batch", {"tasks": [task.fields for task in tasks]}, key)


def task(task_id: UUID | str, *, wait_seconds: float = 0) -> Call[Task]:
    query = {"wait": wait_seconds} if wait_seconds else {}
    return Call(Task, "GET", f"tasks/{id_of(task_id)}", query, waits=wait_seconds)


def tasks(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Task]]:
    return Call(Page[Task], "GET", "tasks", query_of(filters, cursor))


def status(task_id: UUID | str) -> Call[Status]:
    return Call(Status, "GET", f"tasks/{id_of(task_id)}/status")


def explain(task_id: UUID | str) -> Call[Explanation]:
    return Call(Explanation, "GET", f"tasks/{id_of(task_id)}/explain")


def cancel(task_id: UUID | str) -> Call[Cancellation]:
    return keyed(Cancellation, f"tasks/{id_of(task_id)}/cancel")


def retry(task_id: UUID | str) -> Call[Task]:
    return keyed(Task, f"tasks/{id_of(task_id)}/retry")


def change(task_id: UUID | str, changes: Mapping[str, Any]) -> Call[Task]:
    given = {name: value for name, value in changes.items() if value is not None}
    return Call(Task, "PATCH", f"tasks/{id_of(task_id)}", headers=_JSON, body=encoded(given))


def cancel_many(
    ids: Sequence[UUID | str] | None, filters: Mapping[str, Any], *, dry_run: bool, count: bool
) -> Call[HandledInPart]:
    """Raises ValueError unless either is given."""
    given = conditions_of(filters)
    if (ids is None) != bool(given):
        raise ValueError("cancel_many takes ids, or the conditions of a filter")
    which: dict[str, Any] = {"filter": given} if ids is None else {"ids": [id_of(task_id) for task_id in ids]}
    return keyed(HandledInPart, "tasks/cancel", {**which, "dry_run": dry_run, "count": count})


def queues() -> Call[QueuePage]:
    return Call(QueuePage, "GET", "queues")


def queue(name: str) -> Call[Queue]:
    return Call(Queue, "GET", f"queues/{quote(name, safe='')}")


def switch_queue(name: str, verb: str) -> Call[Queue]:
    return Call(Queue, "POST", f"queues/{quote(name, safe='')}/{verb}")


def limit_queue(name: str, limits: Mapping[str, float | None]) -> Call[Queue]:
    return Call(Queue, "PATCH", f"queues/{quote(name, safe='')}", headers=_JSON, body=encoded(limits))


def purge_queue(name: str, *, dry_run: bool, created_before: datetime | None) -> Call[Purge]:
    until = {} if created_before is None else {"created_before": created_before}
    return keyed(Purge, f"queues/{quote(name, safe='')}/purge", {"dry_run": dry_run, **until})


def task_type(name: str) -> Call[TaskType]:
    return Call(TaskType, "GET", f"task-types/{quote(name, safe='')}")


def load(queues: Sequence[str]) -> Call[Load]:
    return Call(Load, "GET", "load", {"queues": ",".join(queues)} if queues else {})


def start(fields: Mapping[str, Any], key: str | None) -> Call[Workflow]:
    return keyed(Workflow, "workflows", fields, key)


def workflow(workflow_id: UUID | str, cursor: str | None = None, limit: int = 50, **asked: Any) -> Call[Workflow]:
    return Call(Workflow, "GET", f"workflows/{id_of(workflow_id)}", query_of({"limit": limit, **asked}, cursor))


def cancel_workflow(workflow_id: UUID | str) -> Call[WorkflowCancellation]:
    return keyed(WorkflowCancellation, f"workflows/{id_of(workflow_id)}/cancel")


def retry_workflow(workflow_id: UUID | str) -> Call[Workflow]:
    return keyed(Workflow, f"workflows/{id_of(workflow_id)}/retry")


def upload(source: Upload, name: str, content_type: str, key: str | None) -> Call[Item]:
    """An upload of what cannot be read again is not repeated once it has begun."""
    headers = {
        "Idempotency-Key": _key(key),
        "X-Filename": quote(name, safe=""),
        "Content-Type": content_type,
        **source.headers,
    }
    return Call(
        Item, "POST", "tree-items", headers=headers, body=source, is_safe=source.is_repeatable, seconds=TRANSFER_SECONDS
    )


def item(item_id: UUID | str) -> Call[Item]:
    return Call(Item, "GET", f"tree-items/{id_of(item_id)}")


def items(cursor: str | None) -> Call[Page[Item]]:
    return Call(Page[Item], "GET", "tree-items", query_of({}, cursor))


def delete_item(item_id: UUID | str) -> Call[Nothing]:
    return Call(Nothing, "DELETE", f"tree-items/{id_of(item_id)}", gone_is_done=True)


def content_path(item_id: UUID | str) -> str:
    return f"tree-items/{id_of(item_id)}/content"


def events_path(task_id: UUID | str) -> str:
    return f"tasks/{id_of(task_id)}/events"


CHANGES_PATH = "events"


def changes_query(filters: Mapping[str, Any]) -> dict[str, Any]:
    return query_of(filters, None)


def keyed(answer: type[A], path: str, body: Mapping[str, Any] | None = None, key: str | None = None) -> Call[A]:
    """A change, with a key by which the API knows a repeat of it. The body is encoded once: a repeat has to be the same
    to the byte."""
    headers = {"Idempotency-Key": _key(key), **({} if body is None else _JSON)}
    return Call(answer, "POST", path, headers=headers, body=None if body is None else encoded(body))


def _key(given: str | None) -> str:
    """The caller's, or one for this call. Raises ValueError for what is no header's value."""
    if given is None:
        return uuid4().hex
    if not (1 <= len(given) <= 255 and given.isascii() and given.isprintable()):
        raise ValueError("an idempotency key has 1 to 255 printable ASCII characters; of other text, make a uuid5")
    return given


def _taken_apart(options: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    fields = dict(options)
    key = fields.pop("idempotency_key", None)
    return fields, key


def query_of(filters: Mapping[str, Any], cursor: str | None) -> dict[str, Any]:
    given = {name: value for name, value in {**filters, "cursor": cursor}.items() if value is not None}
    states = given.get("state")
    if states is not None and not isinstance(states, str):
        given["state"] = ",".join(states)
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in given.items()}


def conditions_of(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a filter in a body."""
    given = {name: value for name, value in filters.items() if value is not None}
    if isinstance(given.get("state"), str):
        given["state"] = [given["state"]]
    return given


def id_of(given: UUID | str) -> str:
    """It becomes part of an address. Raises ValueError for what is no UUID."""
    return str(given if isinstance(given, UUID) else UUID(given))


def read(call: Call[A], response: httpx2.Response, content: bytes, attempt: int) -> A:
    """The answer. Raises ApiAway, ApiRefused."""
    if response.status_code == 404 and call.gone_is_done and attempt > 1:
        return call.answer.model_validate({})
    if not response.is_success:
        raise refused(response, content)
    try:
        return call.answer.model_validate_json(content or b"{}")
    except ValidationError:
        raise ApiAway(f"{response.url} does not answer like Taskyard's API", is_passing=False) from None


def refused(response: httpx2.Response, content: bytes) -> ApiAway | ApiRefused:
    """The error of an answer that is no success."""
    status, again = response.status_code, retry_after(response.headers.get("Retry-After"))
    problem = _problem(content)
    if status in _UNAVAILABLE:
        said = str(problem.get("detail")) if problem else f"The API answered {status}."
        return ApiAway(said, retry_after=again, code=str((problem or {}).get("code") or ""))
    if problem is None and status < 400:  # a redirect, which no call follows: it would carry the key elsewhere
        return ApiAway(f"{response.url} does not answer like Taskyard's API", is_passing=False)
    return refusal(status, problem or {"detail": f"The API answered {status}."}, again)


def lost(url: httpx2.URL, error: httpx2.RequestError) -> ApiAway:
    """The error of a call that was not answered."""
    return ApiAway(
        f"The API at {url.scheme}://{url.netloc.decode()} does not answer: {str(error) or type(error).__name__}",
        was_sent=not isinstance(error, _NOT_SENT),
    )


def _problem(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
