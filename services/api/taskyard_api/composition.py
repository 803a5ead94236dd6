"""Building the service out of its settings, and its life: what starts and stops with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import falcon.asgi
import structlog
from sqlalchemy import Engine

from taskyard import failpoints
from taskyard.broker.connect import make_async_redis
from taskyard.broker.names import Names
from taskyard.broker.publisher import make_publisher
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue, load
from taskyard.lifecycle.dispatch import Dispatcher
from taskyard.settings import Settings
from taskyard.storage.local import LocalStorage
from taskyard.store.ledger import make_engine
from taskyard.telemetry.metrics import Metrics

from .admission import Admission
from .app import Collaborators, create_app, routes_of
from .auth import Keys, Scope
from .collector import MAX_FLIGHTS
from .gate import Gate
from .health import Health
from .ledger_pool import LedgerPool
from .limits import RateLimit
from .live import Live
from .meters import Meters
from .queues import KnownQueues
from .requests import trusted_networks
from .streams import Streams
from .submission import Submission
from .uploads import Files

log = structlog.get_logger(__name__)

# Connections beside those of the readers and of plain submits: two flights of keyed ones, and the dispatcher's.
_WRITERS = 3
# A caller is told 503 quickly instead of waiting for a database that is away.
_CONNECT_TIMEOUT = timedelta(seconds=2)
_POOL_TIMEOUT = timedelta(seconds=2)
_ENSURE_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Service:
    """The application, and what the server around it has to know."""

    app: falcon.asgi.App[Any, Any]
    live: Live
    metrics: Metrics


class Lifespan:
    """Falcon middleware: what runs beside the requests."""

    def __init__(
        self,
        *,
        engines: Sequence[Engine],
        dispatcher: Dispatcher,
        submission: Submission,
        ledger: LedgerPool,
        live: Live,
        health: Health,
        queues: KnownQueues,
        files: Files,
    ) -> None:
        self._engines = engines
        self._dispatcher = dispatcher
        self._submission = submission
        self._ledger = ledger
        self._live = live
        self._health = health
        self._queues = queues
        self._files = files
        self._beside: list[asyncio.Task[None]] = []

    async def process_startup(self, scope: object, event: object) -> None:
        self._dispatcher.start()
        self._live.start()
        self._beside = [
            asyncio.create_task(self._ensure_queues()),
            asyncio.create_task(self._health.watch()),
        ]

    async def process_shutdown(self, scope: object, event: object) -> None:
        """In the order of the data's way: what was accepted is written, what was written is published."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self._live.stop()
        await self._submission.close()
        await asyncio.to_thread(self._dispatcher.stop)
        await asyncio.to_thread(self._ledger.close)
        await asyncio.to_thread(self._files.close)
        for engine in self._engines:
            engine.dispose()
        log.info("stopped")

    async def _ensure_queues(self) -> None:
        while not await self._queues.ensure():  # noqa: ASYNC110 - nobody tells when PostgreSQL is back
            await asyncio.sleep(_ENSURE_AGAIN_SECONDS)


def catalogue_of(settings: Settings) -> Catalogue:
    """Raises ValueError with one line that names the variable."""
    try:
        return load(settings.task_modules, diagnostics=settings.diagnostics)
    except Exception as e:  # whatever a task module raises at its import
        said = " ".join(str(e).split())
        raise ValueError(f"TASKYARD_TASK_MODULES: {type(e).__name__}: {said}") from e


def build(settings: Settings) -> Service:
    """Raises SecretsUnreadable and ValueError for a wrong setting."""
    failpoints.arm(settings.failpoints, settings.failpoints_dir)
    catalogue = catalogue_of(settings)
    cipher = Cipher([key.get_secret_value() for key in settings.secret_keys])
    connect = partial(
        make_engine,
        settings.database_url.get_secret_value(),
        statement_timeout=timedelta(seconds=settings.db_statement_timeout_seconds),
        connect_timeout=_CONNECT_TIMEOUT,
        pool_timeout=_POOL_TIMEOUT,
        application_name="taskyard-api",
    )
    engine = connect(pool_size=settings.db_pool_size + _WRITERS)
    # Planning was a third of what PostgreSQL spends on a submit.
    submits = connect(pool_size=MAX_FLIGHTS, plan_anew=False)
    names = Names(settings.namespace)
    url = settings.redis_url.get_secret_value()
    publisher = make_publisher(url, names)
    client = make_async_redis(url, max_connections=settings.redis_max_connections)
    ledger = LedgerPool(engine, settings.db_pool_size)
    queues = KnownQueues(ledger, {*settings.queues, *(catalogue[name].queue for name in catalogue.names)})
    metrics = Metrics("api")
    metrics.watch_pool(engine, submits)
    meters = Meters(
        metrics,
        routes=routes_of(),
        tasks=[(catalogue[name].queue, name) for name in catalogue.names],
        queues=queues.configured,
        scopes=[str(scope) for scope in Scope],
    )
    dispatcher = Dispatcher(engine, publisher)
    submission = Submission(engine, submits, dispatcher, meters)
    live = Live(client, names.events, ledger)
    keys = Keys(ledger)
    lease = timedelta(seconds=settings.worker_lease_seconds)
    health = Health(
        ledger,
        client,
        lease=lease,
        database=metrics.dependency("database"),
        broker=metrics.dependency("redis"),
    )
    files = Files(LocalStorage(settings.storage_dir), ledger, max_bytes=settings.max_upload_bytes)
    lifespan = Lifespan(
        engines=(engine, submits),
        dispatcher=dispatcher,
        submission=submission,
        ledger=ledger,
        live=live,
        health=health,
        queues=queues,
        files=files,
    )
    app = create_app(
        Collaborators(
            catalogue=catalogue,
            admission=Admission(catalogue, cipher, queues, life=settings.task_life),
            submission=submission,
            dispatcher=dispatcher,
            ledger=ledger,
            live=live,
            streams=Streams(ledger, live, meters, keys),
            health=health,
            files=files,
            gate=Gate(
                keys,
                RateLimit(settings.rate_limit_per_second),
                meters,
                trusted_networks(settings.trusted_proxies),
            ),
            lifespan=lifespan,
            task_life=settings.task_life,
            replay_per_second=settings.replay_per_second,
            worker_lease=lease,
            support_url=settings.support_url,
            cors_origins=settings.cors_origins,
        )
    )
    return Service(app, live, metrics)
