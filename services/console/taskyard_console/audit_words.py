"""The actions of the audit log in words, and the pages of what was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from taskyard_client.management_models import AuditEntry, AuditTarget

if TYPE_CHECKING:
    from .visits import Visit


def titles(visit: Visit) -> dict[str, str]:
    """By action, as a reader says it."""
    _ = visit.words.gettext
    return {
        "task.cancel": _("task cancelled"),
        "task.retry": _("task retried"),
        "task.change": _("task changed"),
        "tasks.cancel": _("several tasks cancelled"),
        "tasks.retry": _("cancelled tasks retried"),
        "dead_letters.retry": _("dead letters retried"),
        "dead_letters.discard": _("dead letters discarded"),
        "dead_letters.restore": _("dead letters restored"),
        "operation.start": _("change of many tasks begun"),
        "queue.pause": _("queue paused"),
        "queue.resume": _("queue resumed"),
        "queue.limit": _("queue limited"),
        "queue.purge": _("queue purged"),
        "worker.drain": _("worker asked to drain"),
        "worker.restart": _("worker asked to restart"),
        "worker.pool": _("worker's processes changed"),
        "schedule.create": _("schedule made"),
        "schedule.change": _("schedule changed"),
        "schedule.delete": _("schedule deleted"),
        "schedule.pause": _("schedule paused"),
        "schedule.resume": _("schedule resumed"),
        "schedule.trigger": _("schedule triggered"),
        "workflow.cancel": _("workflow cancelled"),
        "workflow.retry": _("workflow retried"),
        "error.solve": _("error marked as solved"),
        "error.reopen": _("error reopened"),
        "task_type.changed": _("task type registered anew"),
        "task_type.forget": _("task type forgotten"),
        "key.create": _("key made"),
        "key.revoke": _("key revoked"),
        "role.grant": _("role granted"),
        "role.revoke": _("role revoked"),
        "webhook_endpoint.create": _("webhook made"),
        "webhook_endpoint.delete": _("webhook deleted"),
        "webhook_endpoint.rotate": _("webhook's secret changed"),
        "webhook_endpoint.enable": _("webhook enabled"),
        "webhook_endpoint.disable": _("webhook disabled"),
        "tree_item.delete": _("file deleted"),
        "user.create": _("user made"),
        "user.change": _("user changed"),
        "user.erase": _("user erased"),
    }


# A change of several tasks has the task that makes it as its target.
_PATHS = {
    "task": "/tasks",
    "tasks": "/tasks",
    "dead_letters": "/tasks",
    "operation": "/tasks",
    "queue": "/queues",
    "worker": "/workers",
    "schedule": "/schedules",
    "workflow": "/workflows",
    "error": "/errors",
    "task_type": "/task-types",
}


def path_of(target: AuditTarget) -> str:
    """Empty where the console has no page for it."""
    if target.type == "key":
        return "/keys"
    root = _PATHS.get(target.type)
    return f"{root}/{quote(target.id, safe='')}" if root and target.id else ""


def name_of(entry: AuditEntry) -> str:
    """Of what was changed, as it was called then; empty where its id is its name, or none was recorded."""
    return next((value for key in ("name", "url") if isinstance(value := entry.details.get(key), str)), "")
