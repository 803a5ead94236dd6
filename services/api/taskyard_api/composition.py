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
from .alike import Alike
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
from .limits import RateLimit, shared_slots
from .live import Live
from .meters import RequestMeters, SubmitMeters
from .problems import Problems
from .processes import Member
from .queues import KnownQueues
from .request_counts import RequestCounts
from .requests import trusted_networks
from .resource_list import resources_of
from .resources import (
    analytics,
    broker,
    schedules,
    webhook_endpoints,
)
from .short_way import ShortWay
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
    short_way: ShortWay | None


def cipher_of(settings: Settings) -> Cipher:
    """Raises SecretsUnreadable."""
    return Cipher([key.get_secret_value() for key in settings.secret_keys])


def build(settings: Settings, exports: Exports = NO_EXPORTS, member: Member | None = None) -> Service:
    """`member`: where it is one of several processes. Raises SecretsUnreadable and ValueError for a wrong setting."""
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    cipher = cipher_of(settings)
    redis_url, names = settings.redis_url.get_secret_value(), Names(settings.namespace)
    engines = engines_of(settings)
    engine = engines.others
    client = make_async_redis(redis_url, max_connections=settings.redis_max_connections)
    cache = client if settings.cache_url is None else make_async_redis(settings.cache_address, max_connections=_READERS)
    dispatcher = Dispatcher(engine, make_publisher(redis_url, names))
    metrics = Metrics("api", shared=None if member is None else member.files)
    metrics.watch_pool(*engines)
    transactions = metrics.transactions("submit", "read")
    ledger = LedgerPool(engine, settings.db_pool_size, dispatcher, transactions["read"].time)
    queues = KnownQueues(ledger, settings.queues)

    requests = RequestMeters(metrics, routes=routes_of(), scopes=list(Scope))
    submitted = SubmitMeters(metrics, transactions["submit"].time, queues=settings.queues)
    types = KnownTypes(ledger, lease=settings.worker_lease, learn=partial(_learn, queues, submitted))

    hooks = Hooks(named(settings.submit_hooks), metrics)
    submission = Submission(engine, engines.submits, dispatcher, submitted, hooks, exports.tracer)
    live = Live(client, names.events, ledger)
    keys = Keys(ledger)
    dependencies = Health(
        # Not behind requests: where those are refused because too many wait, the replica is still the one to ask.
        probes=LedgerPool(engines.probes, 1, dispatcher),
        parts=LedgerPool(engine, 1, dispatcher),
        client=client,
        names=names,
        cache=None if settings.cache_url is None else cache,
        lease=settings.worker_lease,
        database=metrics.dependency("database"),
        broker=metrics.dependency("redis"),
    )
    heavy = HeavyWork()
    bodies = Bodies(heavy)
    files = Files(storage_of(settings), ledger, max_bytes=settings.max_upload_bytes)
    callbacks = Callbacks(ledger, settings.reachable, settings.webhook_default_endpoint, settings.support_url)
    catalogues = read_catalogues()
    translations, shown = Translations(types, catalogues, settings.support_url), TaskViews()
    admission = Admission(types, cipher, queues, callbacks, life=settings.task_life)
    alike = Alike(admission, types, cipher)
    intake = Intake(admission, alike, submission, ledger, shown, translations)
    streams = Streams(ledger, live, requests, keys)
    problems = Problems(catalogues, settings.support_url, exports.reports)
    resources = resources_of(
        settings,
        translations=translations,
        shown=shown,
        bodies=bodies,
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
        redis=broker.Broker(ledger, client, names, queues, translations),
    )
    counts = RequestCounts(ledger)
    slots = None if member is None else shared_slots(member.rates)
    rate = RateLimit(settings.rate_limit_per_second, slots=slots)
    gate = Gate(keys, rate, requests, counts, trusted_networks(settings.trusted_proxies), exports.tracer)
    lifespan = Lifespan(
        engines=engines,
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
    short_way = None
    # Browsers of other origins are answered with more headers.
    if submission.is_plain and not settings.cors_origins:
        short_way = ShortWay(
            keys=keys,
            rate=rate,
            bodies=bodies,
            admission=admission,
            alike=alike,
            submission=submission,
            shown=shown,
            meters=requests,
            counts=counts,
            problems=problems,
        )
    return Service(app, live, dependencies, metrics, types, counts, problems, short_way)


def _learn(queues: KnownQueues, submitted: SubmitMeters, registry: TypeRegistry) -> None:
    usual_queues = {name: spec.queue for name in registry.names if (spec := registry.admitting(name)) is not None}
    queues.learn(usual_queues.values())
    submitted.know(usual_queues)
