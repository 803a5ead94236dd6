"""taskyard_counts: what the ledger tells of itself, and whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from taskyard.store import counts, ledger
from taskyard.store.counts import FailureGroup, Outcomes
from taskyard.store.sqlstates import NOT_ALLOWED, sqlstate
from taskyard_dev.postgres import Postgres
from tests.kits.reports.ledger_rows import add_tasks

from .plans import plans_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC)
THEN = NOW.replace(minute=0, second=0, microsecond=0) - 3 * HOUR


@pytest.fixture
def tasks(task_url: str) -> Iterator[Engine]:
    made = ledger.make_engine(task_url)
    yield made
    made.dispose()


@pytest.fixture
def stranger(postgres: Postgres, database_url: str) -> Iterator[Engine]:
    """A role that may log in, and no more."""
    with postgres.connect("postgres") as connection:
        connection.execute("DROP ROLE IF EXISTS counts_stranger")
        connection.execute("CREATE ROLE counts_stranger LOGIN PASSWORD 'pw'")
    url = sa.make_url(database_url).set(username="counts_stranger", password="pw")
    made = ledger.make_engine(url.render_as_string(hide_password=False))
    yield made
    made.dispose()
    with postgres.connect("postgres") as connection:
        connection.execute("DROP ROLE counts_stranger")


def test_tasks_of_a_period_are_counted_and_others_are_not(engine: Engine, tasks: Engine) -> None:
    add_tasks(engine, THEN, "succeeded", "failed")
    add_tasks(engine, THEN - timedelta(microseconds=1), "cancelled")
    add_tasks(engine, THEN + HOUR, "queued")
    with ledger.connection(tasks) as conn:
        found, total = counts.tasks(conn, "name", THEN, THEN + HOUR, queues=None, most=5)
        course = counts.course(conn, [THEN - HOUR, THEN, THEN + HOUR], THEN + 2 * HOUR, queues=None)
    assert ([group[:6] for group in found], total) == ([("email.send", 2, 1, 1, 0, 0)], 1)
    assert course == [Outcomes(cancelled=1), Outcomes(succeeded=1, failed=1), Outcomes(unfinished=1)]


def test_of_many_groups_the_largest_are_told_and_how_many_there_are(engine: Engine, tasks: Engine) -> None:
    for n in range(5):
        add_tasks(engine, THEN, *["failed"] * (n + 1), name=f"type.{n}", code=f"code_{n}")
    with ledger.connection(tasks) as conn:
        groups, total = counts.tasks(conn, "name", THEN, NOW, queues=None, most=2)
        failures, pairs = counts.failures(conn, THEN, NOW, queues=None, most=1)
    assert ([group.name for group in groups], total) == (["type.4", "type.3"], 5)
    assert (failures, pairs) == ([FailureGroup("type.4", "code_4", 5)], 5)


def test_of_some_queues_only_their_tasks_are_counted(engine: Engine, tasks: Engine) -> None:
    add_tasks(engine, THEN, "failed")
    add_tasks(engine, THEN, "failed", queue="other", code="other_code")
    with engine.begin() as conn:
        conn.exec_driver_sql("INSERT INTO queue (name) VALUES ('default'), ('other') ON CONFLICT DO NOTHING")
    for queues, most in ((["default"], 1), ([], 0), (None, 2)):
        with ledger.connection(tasks) as conn:
            by_queue = counts.tasks(conn, "queue", THEN, NOW, queues=queues, most=9)[0]
            course = counts.course(conn, [THEN], NOW, queues=queues)
            failures = counts.failures(conn, THEN, NOW, queues=queues, most=9)[0]
            now = {queue.name for queue in counts.queues_now(conn, queues=queues, most=9)[0]}
        assert (len(by_queue), course[0].failed, len(failures)) == (most, most, most)
        assert ("other" in now) == (queues is None)


@pytest.mark.parametrize("function", counts.FUNCTIONS)
def test_other_roles_may_not_call_the_functions(stranger: Engine, function: str) -> None:
    name, _, kinds = function.partition("(")
    nulls = ", ".join(f"CAST(NULL AS {kind})" for kind in kinds.removesuffix(")").split(", "))
    with pytest.raises(DBAPIError) as refused, ledger.connection(stranger) as conn:
        conn.execute(sa.text(f"SELECT * FROM {name}({nulls})"))
    assert sqlstate(refused.value) == NOT_ALLOWED


def test_every_function_is_granted_and_runs_with_a_search_path_of_its_own(engine: Engine) -> None:
    statement = sa.text("""SELECT p.proname, p.prosecdef, p.proconfig,
        has_function_privilege('taskyard_task', p.oid, 'EXECUTE') AS granted
        FROM pg_proc p WHERE p.pronamespace = 'taskyard_counts'::regnamespace""")
    with ledger.connection(engine) as conn:
        found = conn.execute(statement).all()
    assert {f"taskyard_counts.{row.proname}" for row in found} == {one.partition("(")[0] for one in counts.FUNCTIONS}
    assert all(row.prosecdef and row.granted for row in found)
    assert {tuple(row.proconfig) for row in found} == {("search_path=pg_catalog, pg_temp",)}


FILL = """
INSERT INTO task (id, name, queue, params, max_attempts, soft_timeout_seconds, hard_timeout_seconds, created_at, state,
    run_at, started_at, finished_at)
SELECT gen_random_uuid(), 'email.send', 'default', jsonb_build_object('x', repeat('y', 200)), 1, 1, 2, at, 'succeeded',
    at, at, at
FROM generate_series(now() - interval '99 days', now(), interval '7 minutes') AS g(at)
"""


@pytest.mark.parametrize(
    "count",
    [
        lambda conn: counts.tasks(conn, "name", THEN - 7 * DAY, NOW, queues=None, most=5),
        lambda conn: counts.course(conn, [THEN - 7 * DAY], NOW, queues=None),
    ],
    ids=["tasks", "course"],
)
def test_of_many_tasks_those_of_the_period_are_read(engine: Engine, count: Callable[[Connection], object]) -> None:
    with ledger.connection(engine) as conn:
        conn.exec_driver_sql(FILL)
        # As autovacuum does.
        conn.exec_driver_sql("SELECT brin_summarize_new_values('ix_task_created')")
        conn.exec_driver_sql("ANALYZE task")
        pages = conn.exec_driver_sql("SELECT pg_relation_size('task') / 8192").scalar_one()
    with ledger.transaction(engine) as conn:
        (plan,) = plans_of(conn, count)
    assert 0 < plan.buffers < pages / 4
