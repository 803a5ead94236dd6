"""Task types of the tests' own that do what no task should."""

import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from taskyard import Params, Result, TaskContext, task
from taskyard.domain.retry import RetryPolicy

EXIT_VARIABLE = "TASKYARD_TEST_EXIT_AT_IMPORT"

# A module that ends every child and template that imports it, and leaves the supervisor, which imports it too, alone.
if os.environ.get(EXIT_VARIABLE) and "taskyard_worker.child.skills" in sys.modules:
    os._exit(5)

_KEPT: list[bytearray] = []


class OddParams(Params):
    do: Literal["nothing", "talk", "report", "grow", "exit", "sys_exit", "leave_a_thread", "start_a_program"] = (
        "nothing"
    )


class AsyncParams(Params):
    seconds: float = 0.0
    fail: bool = False


class OddResult(Result):
    attempt: int


@task("tests.odd", retry=RetryPolicy(retries=0))
def odd(params: OddParams, context: TaskContext) -> OddResult:
    """Does what it is told."""
    match params.do:
        case "talk":
            for n in range(10_000):
                context.log(f"line {n}")
        case "report":
            for n in range(100_001):
                context.progress(n, 100_000)
        case "grow":
            _KEPT.append(bytearray(b"\xa5") * (150 << 20))
        case "exit":
            os._exit(0)
        case "sys_exit":
            sys.exit(0)
        case "leave_a_thread":
            ThreadPoolExecutor(1).submit(time.sleep, 600.0)
        case "start_a_program":
            program = subprocess.Popen(["sleep", "60"])
            context.progress(program.pid)
            program.wait()
    return OddResult(attempt=context.attempt)


@task("tests.async", retry=RetryPolicy(retries=0))
async def sleep(params: AsyncParams, context: TaskContext) -> OddResult:
    """Sleeps on the event loop."""
    await asyncio.sleep(params.seconds)
    if params.fail:
        raise RuntimeError("as asked")
    return OddResult(attempt=context.attempt)


class DatabaseResult(Result):
    role: str
    refused: bool
    child: UUID


_LEDGER = sa.text("SELECT FROM task")
_ROLE = sa.text("SELECT current_user")


@task("tests.database", retry=RetryPolicy(retries=0))
def use_database(context: TaskContext) -> DatabaseResult:
    """Says who it is to PostgreSQL, and whether the ledger is closed to it."""
    with context.db() as conn:
        role = conn.execute(_ROLE).scalar_one()
        child = context.submit(sleep, {})
    try:
        with context.db() as conn:
            conn.execute(_LEDGER)
    except ProgrammingError:
        return DatabaseResult(role=role, refused=True, child=child)
    return DatabaseResult(role=role, refused=False, child=child)


@task("tests.async_database", retry=RetryPolicy(retries=0))
async def use_database_on_the_loop(context: TaskContext) -> DatabaseResult:
    """The same in a coroutine."""
    async with context.db() as conn:
        role = (await conn.execute(_ROLE)).scalar_one()
        child = context.submit(sleep, {})
    try:
        async with context.db() as conn:
            await conn.execute(_LEDGER)
    except ProgrammingError:
        return DatabaseResult(role=role, refused=True, child=child)
    return DatabaseResult(role=role, refused=False, child=child)
