"""The calls about the platform itself, as data: workers, schedules, dead letters, keys, the audit log, health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel

from .calls import Call, conditions_of, id_of, keyed, query_of
from .change_models import Handled
from .management_models import (
    AuditEntry,
    Broker,
    Crash,
    DeadLetterGroups,
    Fire,
    Health,
    Key,
    OwnKey,
    Preview,
    Schedule,
    TimelineEvent,
    WaitingTypes,
    WebhookEndpoint,
    Worker,
    WorkflowSummary,
)
from .models import Load, Nothing, Task
from .options import encoded
from .pages import Page
from .type_models import TaskType

A = TypeVar("A", bound=BaseModel)

_JSON = {"Content-Type": "application/json"}


def own_key() -> Call[OwnKey]:
    return Call(OwnKey, "GET", "key")


def health() -> Call[Health]:
    return Call(Health, "GET", "../../health/detailed")  # it stands beside /api/v1


def queue_load(name: str) -> Call[Load]:
    return Call(Load, "GET", f"queues/{quote(name, safe='')}/load")


def waiting_types(name: str) -> Call[WaitingTypes]:
    return Call(WaitingTypes, "GET", f"queues/{quote(name, safe='')}/waiting")


def broker() -> Call[Broker]:
    return Call(Broker, "GET", "broker")


def crashes(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Crash]]:
    return Call(Page[Crash], "GET", "crashes", query_of(filters, cursor))


def timeline(
    task_id: UUID | str, limit: int, cursor: str | None, filters: Mapping[str, Any]
) -> Call[Page[TimelineEvent]]:
    given = query_of({"limit": limit, **filters}, cursor)
    return Call(Page[TimelineEvent], "GET", f"tasks/{id_of(task_id)}/events", given)


def task_types() -> Call[Page[TaskType]]:
    return Call(Page[TaskType], "GET", "task-types")


def workers(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Worker]]:
    return Call(Page[Worker], "GET", "workers", query_of(filters, cursor))


def worker(worker_id: UUID | str) -> Call[Worker]:
    return Call(Worker, "GET", f"workers/{id_of(worker_id)}")


def control_worker(worker_id: UUID | str, verb: str, body: Mapping[str, Any] | None = None) -> Call[Worker]:
    return keyed(Worker, f"workers/{id_of(worker_id)}/{verb}", body)


def schedules(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Schedule]]:
    return Call(Page[Schedule], "GET", "schedules", query_of(filters, cursor))


def schedule(schedule_id: UUID | str) -> Call[Schedule]:
    return Call(Schedule, "GET", f"schedules/{id_of(schedule_id)}")


def make_schedule(fields: Mapping[str, Any], key: str | None) -> Call[Schedule]:
    return keyed(Schedule, "schedules", fields, key)


def change_schedule(schedule_id: UUID | str, changes: Mapping[str, Any]) -> Call[Schedule]:
    return Call(Schedule, "PATCH", f"schedules/{id_of(schedule_id)}", headers=_JSON, body=encoded(changes))


def delete_schedule(schedule_id: UUID | str) -> Call[Nothing]:
    return Call(Nothing, "DELETE", f"schedules/{id_of(schedule_id)}", gone_is_done=True)


def switch_schedule(schedule_id: UUID | str, verb: str) -> Call[Schedule]:
    return Call(Schedule, "POST", f"schedules/{id_of(schedule_id)}/{verb}")


def trigger_schedule(schedule_id: UUID | str, key: str | None) -> Call[Fire]:
    return keyed(Fire, f"schedules/{id_of(schedule_id)}/trigger", key=key)


def fires(schedule_id: UUID | str, filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Fire]]:
    return Call(Page[Fire], "GET", f"schedules/{id_of(schedule_id)}/fires", query_of(filters, cursor))


def preview(fields: Mapping[str, Any]) -> Call[Preview]:
    return Call(Preview, "POST", "schedules/preview", headers=_JSON, body=encoded(fields))


def workflows(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[WorkflowSummary]]:
    return Call(Page[WorkflowSummary], "GET", "workflows", query_of(filters, cursor))


def workflow_timeline(workflow_id: UUID | str, limit: int, cursor: str | None) -> Call[Page[TimelineEvent]]:
    return Call(
        Page[TimelineEvent], "GET", f"workflows/{id_of(workflow_id)}/events", query_of({"limit": limit}, cursor)
    )


def dead_letters(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Task]]:
    return Call(Page[Task], "GET", "dead-letters", query_of(filters, cursor))


def dead_letter_groups(filters: Mapping[str, Any]) -> Call[DeadLetterGroups]:
    return Call(DeadLetterGroups, "GET", "dead-letters/groups", query_of(filters, None))


def handle_dead_letters(
    verb: str,
    ids: Sequence[UUID | str] | None,
    filters: Mapping[str, Any],
    key: str | None = None,
    *,
    dry_run: bool,
    cancelled: bool = False,
) -> Call[Handled]:
    """Raises ValueError where both are given; neither: all dead letters."""
    if ids is not None and filters:
        raise ValueError(f"{verb} takes ids, or the conditions of a filter")
    which: dict[str, Any] = (
        {"filter": conditions_of(filters)} if ids is None else {"ids": [id_of(task_id) for task_id in ids]}
    )
    # An API of an earlier release does not know the field.
    more = {"cancelled": True} if cancelled else {}
    return keyed(Handled, f"dead-letters/{verb}", {**which, **more, "dry_run": dry_run}, key)


def keys(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Key]]:
    return Call(Page[Key], "GET", "keys", query_of(filters, cursor))


def make_key(name: str, scopes: Sequence[str], queues: Sequence[str] | None, expires_at: datetime | None) -> Call[Key]:
    """Not repeated where its answer got lost: the key is told once and kept nowhere to be told again."""
    fields = {"name": name, "scopes": list(scopes), "queues": queues, "expires_at": expires_at}
    return Call(Key, "POST", "keys", headers=_JSON, body=encoded(fields), is_safe=False)


def revoke_key(key_id: UUID | str) -> Call[Key]:
    return Call(Key, "POST", f"keys/{id_of(key_id)}/revoke")


def audit(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[AuditEntry]]:
    return Call(Page[AuditEntry], "GET", "audit", query_of(filters, cursor))


def webhook_endpoints(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[WebhookEndpoint]]:
    return Call(Page[WebhookEndpoint], "GET", "webhook-endpoints", query_of(filters, cursor))


def webhook_endpoint(endpoint_id: UUID | str) -> Call[WebhookEndpoint]:
    return Call(WebhookEndpoint, "GET", f"webhook-endpoints/{id_of(endpoint_id)}")


def make_webhook_endpoint(fields: Mapping[str, Any]) -> Call[WebhookEndpoint]:
    """Not repeated where its answer got lost: its secret is told once and kept nowhere to be told again."""
    return Call(WebhookEndpoint, "POST", "webhook-endpoints", headers=_JSON, body=encoded(fields), is_safe=False)


def delete_webhook_endpoint(endpoint_id: UUID | str) -> Call[Nothing]:
    return Call(Nothing, "DELETE", f"webhook-endpoints/{id_of(endpoint_id)}", gone_is_done=True)


def rotate_webhook_endpoint(endpoint_id: UUID | str, grace_seconds: int | None) -> Call[WebhookEndpoint]:
    """Not repeated: a second rotation would withdraw the secret that still signs."""
    query = query_of({"grace_seconds": grace_seconds}, None)
    return Call(WebhookEndpoint, "POST", f"webhook-endpoints/{id_of(endpoint_id)}/rotate", query, is_safe=False)


def enable_webhook_endpoint(endpoint_id: UUID | str) -> Call[WebhookEndpoint]:
    return Call(WebhookEndpoint, "POST", f"webhook-endpoints/{id_of(endpoint_id)}/enable")


def preview_operation(action: str, filters: Mapping[str, Any], as_of: datetime | None) -> Call[Handled]:
    return keyed(Handled, "operations", {**_operation(action, filters, as_of=as_of), "dry_run": True})


def start_operation(
    action: str, filters: Mapping[str, Any], per_second: float | None, as_of: datetime | None, key: str | None
) -> Call[Task]:
    return keyed(Task, "operations", _operation(action, filters, per_second=per_second, as_of=as_of), key)


def _operation(action: str, filters: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    return {"action": action, "filter": conditions_of(filters), **given}
