"""Real servers for every test: one PostgreSQL and one Valkey a session, a database a test process.

postgres, valkey    the shared pair: make databases there, but never stop it or FLUSHALL it
database_url        a migrated database, as the migrations left it when the test starts
engine              an engine on it
task_url            its address for tasks, under their role
redis_url           an empty numbered database of the shared Valkey
new_redis_url       call it for one that outlives the test: for the stack of a module
new_database        call it for one more migrated database
own_servers         a migrated pair for this test alone, to stop, kill and flush at will;
own_postgres, own_valkey    one of that pair
"""

import gc
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.scheduler.protocol import Scheduling
from xdist.workermanage import WorkerController

from taskyard_dev.home import temporary
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey, servers
from tests.support.databases import CleanDatabase
from tests.support.shared_servers import SharedServers
from tests.support.task_role import as_tasks, prepare

# How long an example takes says something of the machine only. The examples are the same in every run;
# `--hypothesis-profile explore` draws others (`--hypothesis-seed` repeats those).
_ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", _ANY_SPEED, derandomize=True, database=None)
settings.register_profile("explore", _ANY_SPEED)
settings.load_profile("steady")

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
SERVERS = pytest.StashKey[SharedServers]()


# Where a test has set up no logging: rich prints local variables, which takes seconds for those of a request.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

_configure = structlog.configure


def _without_cache(*given: Any, **options: Any) -> None:
    """A logger that kept what it was set up with at its first use would be missed by the next test's `capture_logs`."""
    _configure(*given, **{**options, "cache_logger_on_first_use": False})


structlog.configure = _without_cache


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays until the end: the garbage collector need not look at it, neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Deal tests out by file, and end-to-end tests that measure to one process: two of them at once on two cores
    would only measure each other. (`--dist loadgroup` would say it with marks, but xdist 3.8 changes a field for it
    that pytest 9.2 no longer has, and so groups nothing.)
    """
    return ByFile(config, log)


class ByFile(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    # What these promise holds beside other tests as well, and they measure nothing.
    _MEASURE_NOTHING = frozenset(
        f"tests/e2e/test_{name}.py"
        for name in (
            "backup",
            "batches",
            "celery",
            "console",
            "console_attacks",
            "console_errands",
            "console_fleet",
            "console_flows",
            "console_overview",
            "console_tasks",
            "console_walks",
            "dashboards",
            "deaths",
            "doctor",
            "failpoints",
            "files_and_data",
            "files_in_a_bucket",
            "geo_rasters",
            "health",
            "maintenance",
            "models_and_payments",
            "moves",
            "newsletter",
            "pgbouncer",
            "postgresql_outages",
            "prometheus",
            "redis_outages",
            "reports_and_analytics",
            "schedulers",
            "selection",
            "selection_gsheet",
            "selection_runs",
            "sentinel",
            "signals",
            "task_types",
            "temp_dirs",
            "users",
            "versions",
            "webhooks",
            "workflows",
        )
    )
    # What takes longest goes first. Of itself xdist begins with the files that have the most tests, and the end-to-end
    # tests would begin late and be waited for alone at the end.
    _LONGEST = (
        "e2e",
        "tests/e2e/test_failpoints.py",
        "tests/integration/worker/test_broken.py",
        "tests/integration/worker/test_copies.py",
        "tests/integration/worker/test_kits.py",
        "tests/integration/api/test_openapi.py",
        "a million tasks",
        "tests/integration/api/test_service.py",
        "tests/integration/lifecycle/test_stateful.py",
    )

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/integration/store/million_tasks/"):
            return "a million tasks"  # which are made once
        return "e2e" if file.startswith("tests/e2e/") and file not in self._MEASURE_NOTHING else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        end_to_end = (scope for scope in self.workqueue if scope.startswith("tests/e2e/"))
        if longest := next((scope for scope in self._LONGEST if scope in self.workqueue), next(end_to_end, None)):
            self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


def pytest_sessionfinish(session: pytest.Session) -> None:
    shared = session.config.stash.get(SERVERS, None)
    if shared is not None:
        shared.leave()


@pytest.fixture(scope="session")
def shared_servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SharedServers:
    base = tmp_path_factory.getbasetemp()
    shared = SharedServers(base if WORKER == "main" else base.parent)
    shared.join()
    request.config.stash[SERVERS] = shared
    return shared


@pytest.fixture(scope="session")
def postgres(shared_servers: SharedServers) -> Postgres:
    return shared_servers.postgres


@pytest.fixture(scope="session")
def valkey(shared_servers: SharedServers) -> Valkey:
    return shared_servers.valkey


@pytest.fixture(scope="session")
def new_database(shared_servers: SharedServers) -> Iterator[Callable[[], str]]:
    """Makes migrated databases, gone at the end of the session."""
    names: list[str] = []

    def make() -> str:
        name = f"test_{WORKER}_{len(names)}"
        with shared_servers.migrated_template() as template:
            url = shared_servers.postgres.create_database(name, template)
        names.append(name)
        return url

    yield make
    for name in names:
        shared_servers.postgres.drop_database(name)


@pytest.fixture(scope="session")
def clean_database(new_database: Callable[[], str]) -> tuple[str, CleanDatabase]:
    url = new_database()
    return url, CleanDatabase.fresh(url.replace("postgresql+psycopg://", "postgresql://"))


@pytest.fixture
def database_url(clean_database: tuple[str, CleanDatabase]) -> str:
    url, database = clean_database
    database.restore()
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    from taskyard.store.ledger import make_engine

    made = make_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def task_url(database_url: str) -> str:
    return as_tasks(database_url)


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """Channels of pub/sub have no numbers: what another test process publishes is heard here too."""
    number = 1 if WORKER == "main" else 2 + int(WORKER.removeprefix("gw"))
    with valkey.client(number) as client:
        client.flushdb()
    return valkey.database_url(number)


@pytest.fixture(scope="session")
def new_redis_url(valkey: Valkey) -> Callable[[], str]:
    """Empties another numbered database of the shared Valkey, for the stack of a module. Each test process has six,
    and takes them in turn."""
    first = 16 if WORKER == "main" else 16 + 6 * (1 + int(WORKER.removeprefix("gw"))) % 48
    numbers = itertools.cycle(range(first, first + 6))

    def empty() -> str:
        number = next(numbers)
        with valkey.client(number) as client:
            client.flushdb()
        return valkey.database_url(number)

    return empty


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def server_home() -> Iterator[Path]:
    """A directory for servers of a test's own; open to the account that PostgreSQL runs as."""
    with temporary("tests") as home:
        yield home


@pytest.fixture
def own_servers(server_home: Path) -> Iterator[tuple[Postgres, Valkey]]:
    from taskyard.store import migrate

    with servers(server_home, port=0) as pair:
        migrate.upgrade(pair[0].url())
        prepare(pair[0].url())
        yield pair


@pytest.fixture
def own_postgres(own_servers: tuple[Postgres, Valkey]) -> Postgres:
    return own_servers[0]


@pytest.fixture
def own_valkey(own_servers: tuple[Postgres, Valkey]) -> Valkey:
    return own_servers[1]
