"""The application: routes and middleware. The composition root makes the resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import falcon
import falcon.asgi
from falcon.routing import CompiledRouter

from . import openapi
from .gate import Gate
from .lifespan import Lifespan
from .operations import operations_of
from .problems import Problems
from .requests import Request
from .resources import (
    analytics,
    api_keys,
    audit,
    broker,
    bulk_operations,
    conversions,
    crashes,
    dead_letters,
    error_groups,
    events,
    explanations,
    fleet,
    health,
    load,
    pages,
    queue_actions,
    records,
    schedule_actions,
    schedules,
    selection_runs,
    statistics,
    task_actions,
    task_status,
    task_types,
    tasks,
    tree_items,
    users,
    webhook_endpoints,
    worker_control,
    workflow_events,
    workflows,
)


class _Cors(falcon.CORSMiddleware[Any, Any]):
    """Answers differ by origin, allowed or not: caches have to keep them apart."""

    def process_response(self, req: Any, resp: Any, resource: object, req_succeeded: bool) -> None:
        super().process_response(req, resp, resource, req_succeeded)
        resp.append_header("Vary", "Origin")


class _Router(CompiledRouter):
    """HEAD is answered wherever GET is, by the same handler; Falcon leaves the body out."""

    def map_http_methods(self, resource: object, **options: Any) -> Any:
        found = super().map_http_methods(resource, **options)
        return {**found, "HEAD": found["GET"]} if "GET" in found else found


def create_app(
    resources: Iterable[object], gate: Gate, lifespan: Lifespan, problems: Problems, *, cors_origins: Sequence[str]
) -> falcon.asgi.App[Request, falcon.asgi.Response]:
    middleware: list[Any] = [gate, lifespan]
    if cors_origins:
        exposed = ("X-Request-ID", "Location", "Retry-After", "Idempotency-Replayed", "traceparent")
        middleware.append(_Cors(allow_origins=cors_origins, expose_headers=exposed))
    app = falcon.asgi.App(request_type=Request, middleware=middleware, router=_Router())
    app.req_options.keep_blank_qs_values = True
    app.add_error_handler(falcon.HTTPError, problems.answer)
    app.add_error_handler(Exception, problems.answer)
    by_kind = {type(resource): resource for resource in resources}
    for path, kind in ROUTES.items():
        app.add_route(path, by_kind[kind])
    for path, kind in PAGES.items():
        if kind in by_kind:  # the page of the document may be switched off
            app.add_route(path, by_kind[kind])
    app.add_route(openapi.PATH, openapi.OpenApi(ROUTES))
    return app


ROUTES: dict[str, type] = {
    "/api/v1/tasks": tasks.Tasks,
    "/api/v1/tasks/batch": tasks.TaskBatch,
    "/api/v1/tasks/cancel": task_actions.TasksCancel,
    "/api/v1/tasks/{task_id}": tasks.OneTask,
    "/api/v1/tasks/{task_id}/status": task_status.TaskStatus,
    "/api/v1/tasks/{task_id}/events": events.TaskEvents,
    "/api/v1/tasks/{task_id}/explain": explanations.TaskExplanation,
    "/api/v1/tasks/{task_id}/cancel": task_actions.TaskCancel,
    "/api/v1/tasks/{task_id}/retry": task_actions.TaskRetry,
    "/api/v1/events": events.Events,
    "/api/v1/task-types": task_types.TaskTypes,
    "/api/v1/task-types/{name}": task_types.OneTaskType,
    "/api/v1/dead-letters": dead_letters.DeadLetters,
    "/api/v1/dead-letters/groups": dead_letters.Groups,
    "/api/v1/dead-letters/retry": dead_letters.Retry,
    "/api/v1/dead-letters/discard": dead_letters.Discard,
    "/api/v1/dead-letters/restore": dead_letters.Restore,
    "/api/v1/queues": fleet.Queues,
    "/api/v1/queues/{name}": fleet.OneQueue,
    "/api/v1/queues/{name}/pause": queue_actions.Pause,
    "/api/v1/queues/{name}/resume": queue_actions.Resume,
    "/api/v1/queues/{name}/purge": queue_actions.Purge,
    "/api/v1/queues/{name}/load": load.QueueLoad,
    "/api/v1/queues/{name}/waiting": fleet.WaitingTypes,
    "/api/v1/queues/{name}/history": statistics.QueueHistory,
    "/api/v1/load": load.Load,
    "/api/v1/crashes": crashes.Crashes,
    "/api/v1/broker": broker.Broker,
    "/api/v1/workers": fleet.Workers,
    "/api/v1/workers/{worker_id}": fleet.OneWorker,
    "/api/v1/workers/{worker_id}/drain": worker_control.Drain,
    "/api/v1/workers/{worker_id}/restart": worker_control.Restart,
    "/api/v1/workers/{worker_id}/pool": worker_control.Pool,
    "/api/v1/workers/{worker_id}/history": statistics.WorkerHistory,
    "/api/v1/statistics": statistics.Statistics,
    "/api/v1/errors": error_groups.Errors,
    "/api/v1/errors/{group_id}": error_groups.OneError,
    "/api/v1/errors/{group_id}/solve": error_groups.Solve,
    "/api/v1/errors/{group_id}/reopen": error_groups.Reopen,
    "/api/v1/tree-items": tree_items.TreeItems,
    "/api/v1/tree-items/{item_id}": tree_items.OneTreeItem,
    "/api/v1/tree-items/{item_id}/content": tree_items.Content,
    "/api/v1/tree-items/{item_id}/thumbnail": tree_items.Thumbnail,
    "/api/v1/tree-items/{item_id}/convert-to-geo-raster": conversions.Convert,
    "/api/v1/tree-items/{item_id}/conversion-status": conversions.ConversionStatus,
    "/api/v1/webhook-endpoints": webhook_endpoints.WebhookEndpoints,
    "/api/v1/webhook-endpoints/{endpoint_id}": webhook_endpoints.OneWebhookEndpoint,
    "/api/v1/webhook-endpoints/{endpoint_id}/rotate": webhook_endpoints.Rotate,
    "/api/v1/webhook-endpoints/{endpoint_id}/enable": webhook_endpoints.Enable,
    "/api/v1/users/{user_id}": users.OneUser,
    "/api/v1/send-welcome": users.SendWelcome,
    "/api/v1/usage-events": analytics.UsageEvents,
    "/api/v1/analytics": analytics.Analytics,
    "/api/v1/models": analytics.Models,
    "/api/v1/selection-runs": selection_runs.SelectionRuns,
    "/api/v1/selection-runs/{run_id}": selection_runs.OneSelectionRun,
    "/api/v1/records": records.Records,
    "/api/v1/workflows": workflows.Workflows,
    "/api/v1/workflows/{workflow_id}": workflows.OneWorkflow,
    "/api/v1/workflows/{workflow_id}/cancel": workflows.WorkflowCancel,
    "/api/v1/workflows/{workflow_id}/retry": workflows.WorkflowRetry,
    "/api/v1/workflows/{workflow_id}/events": workflow_events.WorkflowEvents,
    "/api/v1/schedules": schedules.Schedules,
    "/api/v1/schedules/preview": schedules.Preview,
    "/api/v1/schedules/{schedule_id}": schedules.OneSchedule,
    "/api/v1/schedules/{schedule_id}/pause": schedule_actions.Pause,
    "/api/v1/schedules/{schedule_id}/resume": schedule_actions.Resume,
    "/api/v1/schedules/{schedule_id}/trigger": schedule_actions.Trigger,
    "/api/v1/schedules/{schedule_id}/fires": schedule_actions.Fires,
    "/api/v1/operations": bulk_operations.BulkOperations,
    "/api/v1/key": api_keys.OwnKey,
    "/api/v1/keys": api_keys.ApiKeys,
    "/api/v1/keys/{key_id}/revoke": api_keys.Revoke,
    "/api/v1/audit": audit.AuditLog,
    "/health/live": health.Live,
    "/health/ready": health.Ready,
    "/health/detailed": health.Detailed,
}


# For people; they are no part of the document.
PAGES: dict[str, type] = {"/": pages.Home, pages.DOCS: pages.Docs, f"{pages.DOCS}/{{name}}": pages.DocsFile}


def routes_of() -> dict[tuple[str, str], frozenset[int]]:
    """The statuses of every operation, page, and of the OpenAPI document, by method and path template."""
    found = {
        (method, path): declared.statuses
        for path, kind in (ROUTES | PAGES).items()
        for method, declared in operations_of(kind).items()
    }
    return {**found, ("GET", openapi.PATH): frozenset({200})}
