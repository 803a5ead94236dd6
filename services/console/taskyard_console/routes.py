"""Where each page is: a new one has its line here."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter

from taskyard.telemetry.metrics import Family

from .access import Accesses
from .links import Links
from .live import Live
from .oidc import Provider
from .pages import (
    audit,
    broker,
    dead_letters,
    downloads,
    errors,
    keys,
    live,
    new_workflow,
    operations,
    overview,
    plain,
    queue,
    queues,
    schedule,
    schedule_form,
    schedules,
    selection,
    signing_in,
    submitting,
    task,
    task_actions,
    task_types,
    tasks,
    worker_by_name,
    workers,
    workflow,
    workflows,
)
from .rendering import Rendering, StaticFile
from .suggestions import Suggestions

Routes = dict[str, object]


def plain_routes(static: Mapping[str, StaticFile], ready: plain.HealthReady, events: Live) -> Routes:
    return {
        "/choices": plain.Choices(),
        "/live": live.LivePage(events),
        "/static/{name}": plain.Static(static),
        "/health/live": plain.HealthLive(),
        "/health/ready": ready,
    }


SIGN_IN = ("/sign-in", "/sign-in/link", "/sign-out", "/sign-in/provider", "/sign-in/return")


def sign_in_routes(
    sign_in: signing_in.SignIn, accesses: Accesses, links: Links, provider: Provider | None, refused: Family[Counter]
) -> Routes:
    found: Routes = {
        "/sign-in": sign_in,
        "/sign-in/link": signing_in.LinkIn(accesses, links, refused),
        "/sign-out": signing_in.SignOut(),
    }
    if provider is not None:
        found["/sign-in/provider"] = signing_in.ProviderStart(provider)
        found["/sign-in/return"] = signing_in.ProviderReturn(provider, refused)
    return found


def page_routes(rendering: Rendering, trace_url: str) -> Routes:
    return {
        "/": overview.Overview(rendering),
        **_tasks(rendering, trace_url),
        **_types_and_errors(rendering),
        **_fleet(rendering),
        **_schedules(rendering),
        **_workflows(rendering),
        "/audit": audit.Audit(rendering),
        "/keys": keys.Keys(rendering),
        "/keys/{key_id}/revoke": keys.RevokeKey(rendering),
        "/broker": broker.BrokerPage(rendering),
    }


def _tasks(rendering: Rendering, trace_url: str) -> Routes:
    suggestions = Suggestions()
    return {
        "/tasks": tasks.Tasks(rendering, suggestions),
        "/tasks/find": tasks.FindTask(),
        "/tasks/selection": selection.Selection(rendering),
        "/tasks/views": tasks.Views(),
        "/tasks/download": downloads.TasksFile(),
        "/tasks/{task_id}": task.OneTask(rendering, trace_url),
        "/tasks/{task_id}/log": task.TaskLog(),
        "/tasks/{task_id}/cancel": task_actions.CancelTask(),
        "/tasks/{task_id}/retry": task_actions.RetryTask(),
        "/tasks/{task_id}/discard": task_actions.DiscardTask(),
        "/tasks/{task_id}/restore": task_actions.RestoreTask(),
        "/tasks/{task_id}/change": task_actions.ChangeTask(rendering),
        "/dead-letters": dead_letters.DeadLetters(rendering, suggestions),
        "/dead-letters/download": downloads.DeadLettersFile(),
        "/operations": operations.Operations(rendering),
        "/operations/new": operations.NewOperation(rendering),
        "/operations/{task_id}": operations.OneOperation(rendering),
    }


def _types_and_errors(rendering: Rendering) -> Routes:
    return {
        "/task-types": task_types.TaskTypes(rendering),
        "/task-types/{name}": task_types.OneType(rendering),
        "/task-types/{name}/submit": submitting.Submit(rendering),
        "/errors": errors.Errors(rendering),
        "/errors/{group_id}": errors.OneError(rendering),
        "/errors/{group_id}/solve": errors.SolveError(),
        "/errors/{group_id}/reopen": errors.ReopenError(),
    }


def _fleet(rendering: Rendering) -> Routes:
    one_queue, one_worker = queue.OneQueue(rendering), workers.OneWorker(rendering)
    return {
        "/queues": queues.Queues(rendering),
        "/queues/{name}": one_queue,
        "/queues/{name}/pause": queue.PauseQueue(),
        "/queues/{name}/resume": queue.ResumeQueue(),
        "/queues/{name}/limits": queue.LimitQueue(one_queue),
        "/queues/{name}/purge": queue.PurgeQueue(rendering),
        "/workers": workers.Workers(rendering),
        "/workers/by-name/{name}": worker_by_name.WorkerByName(),
        "/workers/{worker_id}": one_worker,
        "/workers/{worker_id}/drain": workers.DrainWorker(rendering),
        "/workers/{worker_id}/restart": workers.RestartWorker(),
        "/workers/{worker_id}/pool": workers.ResizeWorker(one_worker),
        "/crashes": workers.Crashes(rendering),
    }


def _schedules(rendering: Rendering) -> Routes:
    return {
        "/schedules": schedules.Schedules(rendering),
        "/schedules/new": schedule_form.NewSchedule(rendering),
        "/schedules/{schedule_id}": schedule.OneSchedule(rendering),
        "/schedules/{schedule_id}/edit": schedule_form.EditSchedule(rendering),
        "/schedules/{schedule_id}/delete": schedule.DeleteSchedule(rendering),
        "/schedules/{schedule_id}/pause": schedule.PauseSchedule(),
        "/schedules/{schedule_id}/resume": schedule.ResumeSchedule(),
        "/schedules/{schedule_id}/trigger": schedule.TriggerSchedule(),
    }


def _workflows(rendering: Rendering) -> Routes:
    return {
        "/workflows": workflows.Workflows(rendering),
        "/workflows/new": new_workflow.SubmitWorkflow(rendering),
        "/workflows/{workflow_id}": workflow.OneWorkflow(rendering),
        "/workflows/{workflow_id}/cancel": workflow.CancelWorkflow(rendering),
        "/workflows/{workflow_id}/retry": workflow.RetryWorkflow(rendering),
    }
