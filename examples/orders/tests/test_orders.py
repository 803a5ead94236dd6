"""Tests with a session that is rolled back, and with the engine that a worker makes; both on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from orders import database
from orders.models import Base, Order
from orders.settings import OrderSettings
from orders.tasks import ship
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from taskyard.testing import run_task, run_task_async


@pytest.fixture(scope="session")
def settings(taskyard_postgres: str) -> OrderSettings:
    return OrderSettings(database_url=taskyard_postgres)


@asynccontextmanager
async def connected(settings: OrderSettings) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(settings.database_url.get_secret_value())
    try:
        async with engine.begin() as conn:
            await conn.run_sync(Base.metadata.create_all)
        async with engine.connect() as conn:
            yield conn
    finally:
        await engine.dispose()


def test_an_order_is_shipped_in_the_session_of_the_test(settings: OrderSettings) -> None:
    async def scenario() -> None:
        async with connected(settings) as conn, conn.begin() as outer:
            async with AsyncSession(conn, join_transaction_mode="create_savepoint") as session:
                order = Order(customer="ada")
                session.add(order)
                await session.flush()
                with database.using(session):
                    run = await run_task_async(ship, {"order_id": order.id}, settings=settings)
                    again = await run_task_async(ship, {"order_id": order.id}, settings=settings)
                assert run.result == "ada"
                assert order.state == "shipped"
                assert again.fault.code == "already_shipped"
            await outer.rollback()
        assert database._engines == {}, "no engine but the test's"

    asyncio.run(scenario())


def test_an_order_is_shipped_with_an_engine_of_the_process(settings: OrderSettings) -> None:
    async def scenario() -> None:
        async with connected(settings) as conn, AsyncSession(conn) as session, session.begin():
            order = Order(customer="grace")
            session.add(order)
            await session.flush()
            order_id = order.id
        task_id = uuid4()
        for _ in range(2):  # a second attempt of the same task finds its own work
            run = await run_task_async(ship, {"order_id": order_id}, settings=settings, task_id=task_id)
            assert run.result == "grace"
        assert len(database._engines) == 1
        await database.dispose()
        async with connected(settings) as conn, AsyncSession(conn) as session:
            kept = await session.get(Order, order_id)
            assert kept is not None
            assert kept.state == "shipped"

    asyncio.run(scenario())


def test_an_unknown_order_is_told_in_words(settings: OrderSettings) -> None:
    async def scenario() -> None:
        async with connected(settings) as conn, AsyncSession(conn) as session:
            with database.using(session):
                run = await run_task_async(ship, {"order_id": -1}, settings=settings)
        assert (run.fault.message, run.will_retry) == ("There is no order -1.", False)

    asyncio.run(scenario())


def test_a_database_that_does_not_answer_is_tried_again() -> None:
    nowhere = OrderSettings(database_url="postgresql+psycopg://orders@127.0.0.1:1/orders")
    assert run_task(ship, {"order_id": 1}, settings=nowhere).will_retry


def test_importing_the_tasks_makes_no_engine() -> None:
    program = "import orders.tasks, orders.database as d; raise SystemExit(len(d._engines))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
