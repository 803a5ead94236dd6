"""One resource of each kind, with the parts that it needs."""

from __future__ import annotations

from taskyard.settings import Settings

from .admission import Admission
from .bodies import Bodies
from .callbacks import Callbacks
from .flows import Flows
from .health import Health
from .known_types import KnownTypes
from .ledger_pool import LedgerPool
from .live import Live
from .queues import KnownQueues
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
from .streams import Streams
from .submission import Intake
from .translation import Translations
from .uploads import Files
from .views import TaskViews


def resources_of(
    settings: Settings,
    *,
    translations: Translations,
    shown: TaskViews,
    bodies: Bodies,
    types: KnownTypes,
    admission: Admission,
    intake: Intake,
    ledger: LedgerPool,
    known_queues: KnownQueues,
    live: Live,
    streams: Streams,
    dependencies: Health,
    files: Files,
    endpoints: webhook_endpoints.Endpoints,
    callbacks: Callbacks,
    flows: Flows,
    models: analytics.Models,
    book: schedules.Book,
    redis: broker.Broker,
) -> list[object]:
    """One of each kind of `app.ROUTES`, and of the pages that are switched on."""
    shown_types = task_types.TaskTypes(ledger, types, lease=settings.worker_lease)
    handling = dead_letters.Handling(bodies, ledger, shown, translations)
    queues = fleet.Queues(ledger, lease=settings.worker_lease)
    loads = load.Loads(ledger, known_queues, lease=settings.worker_lease)
    runs = selection_runs.Runs(ledger, lease=settings.worker_lease)
    workers = fleet.Workers(ledger, lease=settings.worker_lease)
    control = worker_control.Control(ledger, lease=settings.worker_lease)
    marking = error_groups.Marking(bodies, ledger, translations)
    return [
        tasks.Tasks(bodies, intake, ledger, shown, translations),
        tasks.TaskBatch(bodies, intake),
        tasks.OneTask(bodies, admission, ledger, live, shown, translations, life=settings.task_life),
        task_status.TaskStatus(ledger, translations),
        events.TaskEvents(ledger, streams, translations),
        explanations.TaskExplanation(ledger, translations, dependencies.redis_takes, lease=settings.worker_lease),
        task_actions.TaskCancel(bodies, ledger, translations),
        task_actions.TasksCancel(bodies, ledger, shown, translations),
        task_actions.TaskRetry(bodies, ledger, shown, life=settings.task_life),
        events.Events(live, streams),
        shown_types,
        task_types.OneTaskType(shown_types),
        dead_letters.DeadLetters(ledger, shown, translations),
        dead_letters.Groups(ledger),
        dead_letters.Retry(handling, life=settings.task_life, per_second=settings.replay_per_second),
        dead_letters.Discard(handling),
        dead_letters.Restore(handling),
        bulk_operations.BulkOperations(
            bodies, ledger, admission, types, shown, translations, replays_per_second=settings.replay_per_second
        ),
        queues,
        fleet.OneQueue(bodies, queues),
        queue_actions.Pause(bodies, queues),
        queue_actions.Resume(bodies, queues),
        queue_actions.Purge(bodies, queues, shown, translations),
        load.QueueLoad(loads),
        fleet.WaitingTypes(queues),
        load.Load(loads),
        crashes.Crashes(ledger, translations),
        redis,
        workers,
        fleet.OneWorker(workers),
        worker_control.Drain(bodies, control),
        worker_control.Restart(bodies, control),
        worker_control.Pool(bodies, control),
        statistics.QueueHistory(ledger, queues),
        statistics.WorkerHistory(ledger, workers),
        statistics.Statistics(ledger),
        error_groups.Errors(ledger, translations),
        error_groups.OneError(ledger, translations),
        error_groups.Solve(marking),
        error_groups.Reopen(marking),
        tree_items.TreeItems(files),
        tree_items.OneTreeItem(files),
        tree_items.Content(files),
        tree_items.Thumbnail(bodies, files, intake),
        conversions.Convert(bodies, files, intake, translations),
        conversions.ConversionStatus(files, translations),
        webhook_endpoints.WebhookEndpoints(bodies, endpoints, callbacks),
        webhook_endpoints.OneWebhookEndpoint(endpoints),
        webhook_endpoints.Rotate(bodies, endpoints),
        webhook_endpoints.Enable(bodies, endpoints),
        users.OneUser(bodies, ledger, admission, translations),
        users.SendWelcome(bodies, ledger, intake),
        analytics.UsageEvents(bodies, ledger),
        analytics.Analytics(ledger),
        models,
        selection_runs.SelectionRuns(bodies, intake, runs, translations),
        selection_runs.OneSelectionRun(runs, translations),
        records.Records(ledger),
        workflows.Workflows(bodies, flows, ledger, translations),
        workflows.OneWorkflow(ledger, translations),
        workflows.WorkflowCancel(bodies, ledger, translations),
        workflows.WorkflowRetry(bodies, ledger),
        workflow_events.WorkflowEvents(ledger, streams),
        schedules.Schedules(bodies, book),
        schedules.Preview(bodies, book),
        schedules.OneSchedule(bodies, book),
        schedule_actions.Pause(bodies, book),
        schedule_actions.Resume(bodies, book),
        schedule_actions.Trigger(bodies, book),
        schedule_actions.Fires(book),
        api_keys.OwnKey(),
        api_keys.ApiKeys(bodies, ledger, known_queues),
        api_keys.Revoke(bodies, ledger),
        audit.AuditLog(ledger),
        health.Live(),
        health.Ready(dependencies),
        health.Detailed(dependencies, translations),
        pages.Home(has_docs=settings.api_docs),
        *((pages.Docs(), pages.DocsFile()) if settings.api_docs else ()),
    ]
