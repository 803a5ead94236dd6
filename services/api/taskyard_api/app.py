"""The application: routes, resources and middleware. The composition root makes the collaborators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import falcon
import falcon.asgi

from taskyard.catalogue.types import Catalogue
from taskyard.settings import Settings

from . import openapi, problems
from .gate import Gate
from .health import Health
from .ledger_pool import LedgerPool
from .lifespan import Lifespan
from .live import Live
from .operations import operations_of
from .requests import Request
from .resources import audit, dead_letters, events, fleet, health, task_actions, task_types, tasks, tree_items
from .streams import Streams
from .submission import Intake
from .translation import Translations
from .uploads import Files
from .views import TaskViews


@dataclass(frozen=True, kw_only=True)
class Collaborators:
    """What the resources are made of."""

    catalogue: Catalogue
    intake: Intake
    ledger: LedgerPool
    live: Live
    streams: Streams
    health: Health
    files: Files


class _Cors(falcon.CORSMiddleware[Any, Any]):
    """Answers differ by origin, allowed or not: caches have to keep them apart."""

    def process_response(self, req: Any, resp: Any, resource: object, req_succeeded: bool) -> None:
        super().process_response(req, resp, resource, req_succeeded)
        resp.append_header("Vary", "Origin")


def create_app(
    c: Collaborators, settings: Settings, gate: Gate, lifespan: Lifespan
) -> falcon.asgi.App[Request, falcon.asgi.Response]:
    middleware: list[Any] = [gate, lifespan]
    if settings.cors_origins:
        exposed = ("X-Request-ID", "Location", "Retry-After", "Idempotency-Replayed", "traceparent")
        middleware.append(_Cors(allow_origins=settings.cors_origins, expose_headers=exposed))
    app = falcon.asgi.App(request_type=Request, middleware=middleware)
    app.req_options.keep_blank_qs_values = True
    app.add_error_handler(falcon.HTTPError, problems.answer)
    app.add_error_handler(Exception, problems.answer)
    for path, resource in _resources(c, settings).items():
        app.add_route(path, resource)
    app.add_route(openapi.PATH, openapi.OpenApi(ROUTES))
    return app


ROUTES: dict[str, type] = {
    "/api/v1/tasks": tasks.Tasks,
    "/api/v1/tasks/batch": tasks.TaskBatch,
    "/api/v1/tasks/{task_id}": tasks.OneTask,
    "/api/v1/tasks/{task_id}/status": tasks.TaskStatus,
    "/api/v1/tasks/{task_id}/events": events.TaskEvents,
    "/api/v1/tasks/{task_id}/cancel": task_actions.TaskCancel,
    "/api/v1/tasks/{task_id}/retry": task_actions.TaskRetry,
    "/api/v1/events": events.Events,
    "/api/v1/task-types": task_types.TaskTypes,
    "/api/v1/task-types/{name}": task_types.OneTaskType,
    "/api/v1/dead-letters": dead_letters.DeadLetters,
    "/api/v1/dead-letters/retry": dead_letters.Retry,
    "/api/v1/dead-letters/discard": dead_letters.Discard,
    "/api/v1/queues": fleet.Queues,
    "/api/v1/queues/{name}": fleet.OneQueue,
    "/api/v1/workers": fleet.Workers,
    "/api/v1/workers/{worker_id}": fleet.OneWorker,
    "/api/v1/tree-items": tree_items.TreeItems,
    "/api/v1/tree-items/{item_id}": tree_items.OneTreeItem,
    "/api/v1/tree-items/{item_id}/content": tree_items.Content,
    "/api/v1/tree-items/{item_id}/thumbnail": tree_items.Thumbnail,
    "/api/v1/audit": audit.AuditLog,
    "/health/live": health.Live,
    "/health/ready": health.Ready,
    "/health/detailed": health.Detailed,
}


def routes_of() -> dict[tuple[str, str], frozenset[int]]:
    """The statuses of every operation, and of the OpenAPI document, by method and path template."""
    found = {
        (method, path): declared.statuses
        for path, kind in ROUTES.items()
        for method, declared in operations_of(kind).items()
    }
    return {**found, ("GET", openapi.PATH): frozenset({200})}


def _resources(c: Collaborators, settings: Settings) -> dict[str, object]:
    shown, translations = TaskViews(settings.support_url), Translations()
    types = task_types.TaskTypes(c.catalogue)
    handling = dead_letters.Handling(c.ledger, shown)
    queues = fleet.Queues(c.ledger, lease=settings.worker_lease)
    workers = fleet.Workers(c.ledger, lease=settings.worker_lease)
    made: list[object] = [
        tasks.Tasks(c.intake, c.ledger, shown, translations),
        tasks.TaskBatch(c.intake),
        tasks.OneTask(c.ledger, c.live, shown, translations),
        tasks.TaskStatus(c.ledger, translations),
        events.TaskEvents(c.ledger, c.streams, translations),
        task_actions.TaskCancel(c.ledger),
        task_actions.TaskRetry(c.ledger, shown, life=settings.task_life),
        events.Events(c.live, c.streams),
        types,
        task_types.OneTaskType(types),
        dead_letters.DeadLetters(c.ledger, shown, translations),
        dead_letters.Retry(handling, life=settings.task_life, per_second=settings.replay_per_second),
        dead_letters.Discard(handling),
        queues,
        fleet.OneQueue(queues),
        workers,
        fleet.OneWorker(workers),
        tree_items.TreeItems(c.files),
        tree_items.OneTreeItem(c.files),
        tree_items.Content(c.files),
        tree_items.Thumbnail(c.files, c.intake),
        audit.AuditLog(c.ledger),
        health.Live(),
        health.Ready(c.health),
        health.Detailed(c.health),
    ]
    by_kind = {type(resource): resource for resource in made}
    return {path: by_kind[kind] for path, kind in ROUTES.items()}
