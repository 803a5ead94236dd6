"""`wait-for-schema` holds a service back until PostgreSQL has the schema that its release needs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import sqlalchemy as sa

from taskyard.addresses import database_url
from taskyard.store import migrate
from taskyard_dev.postgres import Postgres
from tests.support.cases import one_in

SERVICES = ["api", "worker", "scheduler"]


@contextmanager
def waiting(service: str, url: str, seconds: float = 60) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"taskyard_{service}.cli", "wait-for-schema", "--seconds", str(seconds)],
        env={k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")} | {"TASKYARD_DATABASE_URL": url},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    name = f"nothing_to_wait_for_{os.getpid()}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@contextmanager
def all_held_back(url: str, why: str) -> Iterator[None]:
    """Each service waits, and is let go by what is done inside."""
    with ExitStack() as started:
        services = {service: started.enter_context(waiting(service, url)) for service in SERVICES}
        needs = f"needs {migrate.head()}: `taskyard-api migrate`\n"
        for service, process in services.items():
            assert line(process) == f"taskyard-{service}: waits: the database {why}, {needs}"
        yield
        assert {process.wait(timeout=30) for process in services.values()} == {0}


@pytest.mark.long
def test_services_wait_for_an_empty_and_for_an_old_database_and_not_for_a_later_one(empty: str) -> None:
    with all_held_back(empty, "has no schema"):
        migrate.upgrade(database_url(empty))
    engine = sa.create_engine(database_url(empty))
    set_revision = sa.text("UPDATE alembic_version SET version_num = :revision")
    with engine.begin() as conn:
        conn.execute(set_revision, {"revision": "0001"})
    with all_held_back(empty, "is at revision 0001"), engine.begin() as conn:
        conn.execute(set_revision, {"revision": "of_a_later_release"})
    engine.dispose()


@pytest.mark.parametrize("service", one_in(3, SERVICES))
def test_it_gives_up_in_time_and_ends_on_a_signal(service: str) -> None:
    nowhere = "postgresql://127.0.0.1:1/x"
    with waiting(service, nowhere, seconds=0) as process:
        assert line(process).startswith(f"taskyard-{service}: gave up after 0 s: PostgreSQL does not answer: ")
        assert process.wait(timeout=30) == 3
    with waiting(service, nowhere) as process:
        assert "waits: PostgreSQL does not answer" in line(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
