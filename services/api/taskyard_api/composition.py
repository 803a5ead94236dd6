"""The composition root: the parts of the API, made from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import falcon.asgi

from taskyard import failpoints
from taskyard.broker.connect import make_async_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.secrets import Cipher
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.running.hooks import Hooks, named
from taskyard.settings import Settings
from taskyard.storage.chosen import storage_of
from taskyard.telemetry.exports import NO_EXPORTS, Exports
from taskyard.telemetry.metrics import Metrics

from .admission import Admission
from .app import create_app, routes_of
from .auth import Keys, Scope
from .bodies import Bodies
from .callbacks import Callbacks
from .engines import engines_of
from .flows import Flows
from .gate import Gate
from .health import Health
from .heavy import HeavyWork
from .known_types import KnownTypes
from .ledger_pool import LedgerPool
from .lifespan import Lifespan, WakeUps
from .limits import RateLimit
from .live import Live
from .meters import RequestMeters, SubmitMeters
from .problems import Problems
from .queues import KnownQueues
from .request_counts import RequestCounts
from .requests import trusted_networks
from .resources import (
    analytics,
    audit,
    conversions,
    dead_letters,
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
    task_actions,
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
from .submission import Intake, Submission
from .translation import Translations, read_catalogues
from .uploads import Files
from .views import TaskViews

# Of a cache of its own, at the same time; one more gets a 503.
_READERS = 16


@dataclass(frozen=True, slots=True)
class Service:
    """The application, and what the server around it needs."""

    app: falcon.asgi.App[Any, Any]
    live: Live
    health: Health
    metrics: Metrics
    types: KnownTypes
    counts: RequestCounts
    problems: Problems


def cipher_of(settings: Settings) -> Cipher:
    """Raises SecretsUnreadable."""
    return Cipher([key.get_secret_value() for key in settings.secret_keys])


def build(settings: Settings, exports: Exports = NO_EXPORTS) -> Service:
    """Raises SecretsUnreadable and ValueError for a wrong setting."""
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    cipher = cipher_of(settings)
    redis_url, names = settings.redis_url.get_secret_value(), Names(settings.namespace)
    submits, engine = engines_of(settings)
    client = make_async_redis(redis_url, max_connections=settings.redis_max_connections)
    cache = client if settings.cache_url is None else make_async_redis(settings.cache_address, max_connections=_READERS)
    dispatcher = Dispatcher(engine, make_publisher(redis_url, names))
    metrics = Metrics("api")
    metrics.watch_pool(engine, submits)
    transactions = metrics.transactions("submit", "read")
    ledger = LedgerPool(engine, settings.db_pool_size, dispatcher, transactions["read"].time)
    queues = KnownQueues(ledger, settings.queues)

    requests = RequestMeters(metrics, routes=routes_of(), scopes=list(Scope))
    submitted = SubmitMeters(metrics, transactions["submit"].time, queues=settings.queues)
    types = KnownTypes(ledger, lease=settings.worker_lease, learn=partial(_learn, queues, submitted))

    hooks = Hooks(named(settings.submit_hooks), metrics)
    submission = Submission(engine, submits, dispatcher, submitted, hooks, exports.tracer)
    live = Live(client, names.events, ledger)
    keys = Keys(ledger)
    dependencies = Health(
        # Not behind requests: where those are refused because too many wait, the replica is still the one to ask.
        probes=LedgerPool(engine, 1, dispatcher),
        parts=LedgerPool(engine, 1, dispatcher),
        client=client,
        cache=None if settings.cache_url is None else cache,
        lease=settings.worker_lease,
        database=metrics.dependency("database"),
        broker=metrics.dependency("redis"),
    )
    heavy = HeavyWork()
    files = Files(storage_of(settings), ledger, max_bytes=settings.max_upload_bytes)
    callbacks = Callbacks(ledger, settings.reachable, settings.webhook_default_endpoint, settings.support_url)
    catalogues = read_catalogues()
    translations, shown = Translations(types, catalogues, settings.support_url), TaskViews()
    admission = Admission(types, cipher, queues, callbacks, life=settings.task_life)
    intake = Intake(admission, submission, ledger, shown, translations)
    streams = Streams(ledger, live, requests, keys)
    problems = Problems(catalogues, settings.support_url, exports.reports)
    resources = resources_of(
        settings,
        translations=translations,
        shown=shown,
        bodies=Bodies(heavy),
        types=types,
        admission=admission,
        intake=intake,
        ledger=ledger,
        known_queues=queues,
        live=live,
        streams=streams,
        dependencies=dependencies,
        files=files,
        endpoints=webhook_endpoints.Endpoints(ledger, cipher),
        callbacks=callbacks,
        flows=Flows(admission, callbacks, submission, ledger),
        models=analytics.Models(cache, names, translations),
        book=schedules.Book(ledger, admission),
    )
    counts = RequestCounts(ledger)
    rate, trusted = RateLimit(settings.rate_limit_per_second), trusted_networks(settings.trusted_proxies)
    gate = Gate(keys, rate, requests, counts, trusted, exports.tracer)
    lifespan = Lifespan(
        engines=(engine, submits),
        dispatcher=dispatcher,
        submission=submission,
        counts=counts,
        ledger=ledger,
        live=live,
        health=dependencies,
        queues=queues,
        types=types,
        wake_ups=WakeUps(client, names.types),
        files=files,
        cache=cache,
        heavy=heavy,
    )
    app = create_app(resources, gate, lifespan, problems, cors_origins=settings.cors_origins)
    return Service(app, live, dependencies, metrics, types, counts, problems)


def _learn(queues: KnownQueues, submitted: SubmitMeters, registry: TypeRegistry) -> None:
    usual_queues = {name: spec.queue for name in registry.names if (spec := registry.admitting(name)) is not None}
    queues.learn(usual_queues.values())
    submitted.know(usual_queues)


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
) -> list[object]:
    """One of each kind of `app.ROUTES`, and of the pages that are switched on."""
    shown_types = task_types.TaskTypes(ledger, types, lease=settings.worker_lease)
    handling = dead_letters.Handling(bodies, ledger, shown, translations)
    queues = fleet.Queues(ledger, lease=settings.worker_lease)
    loads = load.Loads(ledger, known_queues, lease=settings.worker_lease)
    runs = selection_runs.Runs(ledger, lease=settings.worker_lease)
    workers = fleet.Workers(ledger, lease=settings.worker_lease)
    control = worker_control.Control(ledger, lease=settings.worker_lease)
    return [
        tasks.Tasks(bodies, intake, ledger, shown, translations),
        tasks.TaskBatch(bodies, intake),
        tasks.OneTask(bodies, admission, ledger, live, shown, translations, life=settings.task_life),
        tasks.TaskStatus(ledger, translations),
        events.TaskEvents(ledger, streams, translations),
        explanations.TaskExplanation(ledger, translations, lease=settings.worker_lease),
        task_actions.TaskCancel(bodies, ledger, translations),
        task_actions.TasksCancel(bodies, ledger, shown, translations),
        task_actions.TaskRetry(bodies, ledger, shown, life=settings.task_life),
        events.Events(live, streams),
        shown_types,
        task_types.OneTaskType(shown_types),
        dead_letters.DeadLetters(ledger, shown, translations),
        dead_letters.Retry(handling, life=settings.task_life, per_second=settings.replay_per_second),
        dead_letters.Discard(handling),
        queues,
        fleet.OneQueue(bodies, queues),
        queue_actions.Pause(bodies, queues),
        queue_actions.Resume(bodies, queues),
        queue_actions.Purge(bodies, queues, shown, translations),
        load.QueueLoad(loads),
        load.Load(loads),
        workers,
        fleet.OneWorker(workers),
        worker_control.Drain(bodies, control),
        worker_control.Restart(bodies, control),
        worker_control.Pool(bodies, control),
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
        audit.AuditLog(ledger),
        health.Live(),
        health.Ready(dependencies),
        health.Detailed(dependencies, translations),
        pages.Home(has_docs=settings.api_docs),
        *((pages.Docs(), pages.DocsFile()) if settings.api_docs else ()),
    ]
