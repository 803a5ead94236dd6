"""`context.db()` as a child has it: for coroutines on its loop, for threads, under no role that is too powerful."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.errors import LedgerUnavailable, TaskCancelled, TaskError
from taskyard.running.database import Transaction
from taskyard_dev.postgres import Postgres
from taskyard_worker.child.event_loop import EventLoop
from taskyard_worker.child.task_database import NoTaskDatabase, TaskDatabase
from tests.integration.worker.processes import LedgerFleet
from tests.support.fleet import wait_for
from tests.support.proxy import Proxy

COROUTINES, AT_ONCE, NAP = 4, 100, 0.2
SLEEP = sa.text("SELECT pg_sleep(:seconds)")
SESSIONS = "SELECT state, query FROM pg_stat_activity WHERE application_name = 'test tasks'"


class Tasks:
    """The database of a child's tasks, and its loop."""

    def __init__(self, url: str, watch: Engine, **options: Any) -> None:
        self.loop = EventLoop()
        options = {"threads": 2, "coroutines": COROUTINES, "statement_timeout": timedelta(seconds=30), **options}
        self.database = TaskDatabase(url, "test tasks", loop=self.loop, **options)
        self._watch = watch

    def db(self) -> Transaction:
        return Transaction(self.database.transaction(), self.database.async_transaction())

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]], seconds: float = 60) -> Any:
        """On the loop of `async def` tasks."""
        answer: list[Any] = []

        async def keep() -> None:
            answer.append(await main())

        self.loop.finish(keep(), seconds=seconds)
        return answer[0]

    def sessions(self) -> list[str]:
        with self._watch.connect() as conn:
            return [row.state for row in conn.execute(sa.text(SESSIONS))]


@pytest.fixture
def tasks(task_url: str, engine: Engine) -> Iterator[Tasks]:
    made = Tasks(task_url, engine)
    with made.db() as conn:
        conn.execute(sa.text("CREATE TABLE IF NOT EXISTS written (n int)"))
        conn.execute(sa.text("TRUNCATE written"))
    yield made
    made.database.dispose()


async def write(tasks: Tasks, n: int = 1) -> None:
    async with tasks.db() as conn:
        await conn.execute(sa.text("INSERT INTO written VALUES (:n)"), {"n": n})


def written(tasks: Tasks) -> list[int]:
    with tasks.db() as conn:
        return list(conn.execute(sa.text("SELECT n FROM written ORDER BY n")).scalars())


def test_a_block_is_one_transaction_in_a_function_and_in_a_coroutine(tasks: Tasks) -> None:
    async def fail() -> None:
        async with tasks.db() as conn:
            await conn.execute(sa.text("INSERT INTO written VALUES (2)"))
            raise ValueError("undone")

    tasks.run(lambda: write(tasks))
    with pytest.raises(ValueError, match="undone"):
        tasks.run(fail)
    with suppress(ValueError), tasks.db() as conn:
        conn.execute(sa.text("INSERT INTO written VALUES (3)"))
        raise ValueError("undone")
    assert written(tasks) == [1]


def test_the_loop_turns_while_a_hundred_coroutines_wait_for_postgresql(tasks: Tasks) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(NAP / 20)
            ticks += 1

    async def ask() -> None:
        async with tasks.db() as conn:
            await conn.execute(SLEEP, {"seconds": NAP})

    async def main() -> None:
        ticker = asyncio.create_task(tick())
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        ticker.cancel()

    tasks.run(main)
    # A loop that a statement stops turns once a statement. This one could turn 500 times.
    assert ticks > 2 * AT_ONCE
    assert len(tasks.sessions()) <= COROUTINES + 1, "with the one of the fixture's thread"


def test_a_cancelled_coroutine_leaves_no_open_transaction_and_no_connection_out_of_the_pool(tasks: Tasks) -> None:
    ended: list[BaseException] = []

    async def long(n: int) -> None:
        async with tasks.db() as conn:
            await conn.execute(sa.text("INSERT INTO written VALUES (:n)"), {"n": n})
            await conn.execute(SLEEP, {"seconds": 60})

    def start(n: int) -> Any:
        interrupts = tasks.loop.interrupts()

        async def attempt() -> None:
            try:
                await interrupts.call(long(n))
            except BaseException as e:  # noqa: BLE001 - the outcome of the attempt
                ended.append(e)

        tasks.loop.start(attempt())
        return interrupts

    began = time.monotonic()
    running = [start(n) for n in range(2 * COROUTINES)]  # half of them wait for a connection
    wait_for(lambda: tasks.sessions().count("active") == COROUTINES, 20, "the pool to be used up")
    for interrupts in running:
        assert interrupts.interrupt(TaskCancelled)
    wait_for(lambda: len(ended) == len(running), 20, "them to end")
    assert time.monotonic() - began < 60, "before the statements do"
    assert all(isinstance(e, TaskCancelled) for e in ended)
    wait_for(lambda: set(tasks.sessions()) <= {"idle"}, 10, "PostgreSQL to have undone them")
    assert written(tasks) == []

    async def use_all() -> None:
        await asyncio.gather(*(write(tasks, n) for n in range(2 * COROUTINES)))

    tasks.run(use_all, seconds=20)
    assert written(tasks) == list(range(2 * COROUTINES))


def test_a_plain_with_in_a_coroutine_says_what_to_write_instead(tasks: Tasks) -> None:
    async def wrong() -> None:
        with tasks.db():
            pass

    with pytest.raises(TypeError, match=r"async with context\.db\(\) as conn"):
        tasks.run(wrong)


def test_a_thread_that_a_coroutine_starts_has_the_plain_form(tasks: Tasks) -> None:
    assert tasks.run(lambda: asyncio.to_thread(written, tasks)) == []


def test_a_loop_of_a_tasks_own_keeps_no_connection(tasks: Tasks) -> None:
    for n in range(3):
        asyncio.run(write(tasks, n))
    assert written(tasks) == [0, 1, 2]
    wait_for(lambda: len(tasks.sessions()) == 1, 10, "the others to be closed")


def test_time_outs_reach_coroutines(task_url: str, engine: Engine) -> None:
    tasks = Tasks(task_url, engine, statement_timeout=timedelta(seconds=0.3))

    async def slow() -> None:
        async with tasks.db() as conn:
            await conn.execute(SLEEP, {"seconds": 60})

    with pytest.raises(LedgerUnavailable, match="statement timeout"):
        tasks.run(slow, seconds=20)
    tasks.database.dispose()


def test_coroutines_give_up_a_silent_server_and_find_it_again(
    task_url: str, postgres: Postgres, engine: Engine
) -> None:
    with Proxy(("127.0.0.1", postgres.port)) as proxy:
        tasks = Tasks(proxy.through(task_url), engine, statement_timeout=timedelta(seconds=1), coroutines=1)

        async def ask() -> Any:
            async with tasks.db() as conn:
                return (await conn.execute(sa.text("SELECT 1"))).scalar()

        assert tasks.run(ask) == 1
        proxy.stall()
        with pytest.raises(LedgerUnavailable):
            tasks.run(ask, seconds=20)
        proxy.restore()
        assert tasks.run(ask) == 1, "a late answer was taken for the answer to another statement"
        tasks.database.dispose()


def test_a_server_that_is_away_is_told_to_coroutines_and_functions_alike(engine: Engine) -> None:
    tasks = Tasks("postgresql+psycopg://u:p@127.0.0.1:1/none", engine)
    with pytest.raises(LedgerUnavailable):
        tasks.run(lambda: write(tasks))
    with pytest.raises(LedgerUnavailable), tasks.db():
        pass


def test_a_role_that_is_too_powerful_is_refused_in_both_forms(database_url: str, engine: Engine) -> None:
    tasks = Tasks(database_url, engine)
    for _ in range(2):
        with pytest.raises(TaskError) as caught:
            tasks.run(lambda: write(tasks))
        assert caught.value.code == "task_role_too_powerful"
        with pytest.raises(TaskError) as caught, tasks.db():
            pass
        assert caught.value.values == {"role": "taskyard", "right": "SUPERUSER"}
    assert tasks.sessions() == []


def test_without_an_address_the_error_names_the_setting() -> None:
    for use in (NoTaskDatabase().transaction, NoTaskDatabase().async_transaction):
        with pytest.raises(TaskError) as caught:
            use()
        assert (caught.value.code, caught.value.retryable) == ("no_task_database", False)


def test_nothing_is_left_connected_at_the_end_of_a_child(task_url: str, engine: Engine) -> None:
    tasks = Tasks(task_url, engine)

    async def all_at_once() -> None:
        barrier = asyncio.Barrier(COROUTINES)

        async def meet() -> None:
            async with tasks.db():
                await barrier.wait()

        await asyncio.gather(*(meet() for _ in range(COROUTINES)))

    tasks.run(all_at_once)
    with tasks.db():
        assert len(tasks.sessions()) == COROUTINES + 1
    assert len(tasks.database.engines()) == 2
    tasks.database.dispose()
    wait_for(lambda: tasks.sessions() == [], 10, "the connections to be closed")


def test_a_loop_that_a_task_blocks_does_not_keep_a_child_from_ending(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskyard_worker.child.task_database._DISPOSE_SECONDS", 0.2)
    tasks.run(lambda: write(tasks))
    goes_on = threading.Event()

    async def block() -> None:
        goes_on.wait(30)

    tasks.loop.start(block())
    try:
        tasks.database.dispose()
    finally:
        goes_on.set()


# In a worker's processes


def outcome(workers: LedgerFleet, name: str, **params: Any) -> tuple[str, Any, Any]:
    (task,) = workers.put(name, **params)
    (state,) = workers.wait([task], 30)
    row = workers.row(task)
    return state, row.result, row.error


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_worker_gives_its_tasks_the_role_and_its_submits_the_ledgers(workers: LedgerFleet) -> None:
    workers.fleet.start_worker()
    for name in ("tests.database", "tests.async_database"):
        state, result, _ = outcome(workers, name)
        assert (state, result["role"], result["refused"]) == ("succeeded", "taskyard_task", True)
        child = UUID(result["child"])
        assert workers.wait([child]) == ["succeeded"], "a submit inside of the block"


@pytest.mark.e2e
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("given", "code"), [("none", "no_task_database"), ("the ledger's", "task_role_too_powerful")])
def test_a_worker_whose_setting_is_wrong_fails_such_tasks_for_good_and_runs_the_others(
    workers: LedgerFleet, database_url: str, given: str, code: str
) -> None:
    workers.fleet.environment["TASKYARD_TASK_DATABASE_URL"] = "" if given == "none" else database_url
    workers.fleet.start_worker()
    for name in ("tests.database", "tests.async_database"):
        state, _, error = outcome(workers, name)
        assert (state, error["code"]) == ("failed", code)
        assert "TASKYARD_TASK_DATABASE_URL" in error["message"]
    assert outcome(workers, "tests.odd")[0] == "succeeded"
