"""The examples in workers of a real stack, by the fixtures that `taskyard.testing` offers to every user."""

from __future__ import annotations

import os

import psycopg
import pytest

from taskyard.testing import Stack, StartWorker
from tests.examples.conftest import Install

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="session")
def taskyard_environment(install: Install) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(str(install(name)) for name in ("invoices", "orders"))}


def test_a_kit_of_a_users_own_runs_in_a_worker_of_its_queue(
    taskyard_stack: Stack, taskyard_worker: StartWorker
) -> None:
    taskyard_worker(queues="invoices", INVOICES_CURRENCY="CHF")
    lines = [{"text": "paper", "price": "0.10", "count": 3}]
    done = taskyard_stack.run("invoices.write", {"customer": "ada", "lines": lines})
    assert done["result"] == {"customer": "ada", "total": "0.30", "currency": "CHF"}
    failed = taskyard_stack.run("invoices.write", {"customer": "ada", "lines": []})
    assert failed["error"]["code"] == "nothing_to_bill"
    assert failed["error"]["message"] == "ada has nothing to pay. Add a line to the invoice."
    refused = taskyard_stack.run("invoices.payments", {"account": "1", "token": "not-to-be-read"})
    assert refused["error"]["code"] == "bank_not_configured"
    assert refused["params"]["token"] == "***"


def test_an_async_engine_is_made_in_the_child_and_disposed_at_its_end(
    taskyard_stack: Stack, taskyard_worker: StartWorker
) -> None:
    url = taskyard_stack.database_url
    own = f"{url.rpartition('/')[0]}/orders"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("CREATE DATABASE orders")
    with psycopg.connect(own.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("CREATE TABLE customer_order (id integer PRIMARY KEY, customer text, state text, shipped_by text)")
        conn.execute("INSERT INTO customer_order SELECT n, 'ada', 'open' FROM generate_series(1, 20) AS n")
        worker = taskyard_worker(queues="orders", ORDERS_DATABASE_URL=own)
        used = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'orders'"
        assert conn.execute(used).fetchone() == (0,), "no connection before the first task"
        for order in range(1, 21):
            assert taskyard_stack.run("orders.ship", {"order_id": order})["result"] == "ada"
        assert conn.execute(used).fetchone() == (1,), "one engine, whose connection is used again"
        worker.stop()
        assert worker.process.returncode == 0
        assert "the engine of the orders is disposed" in worker.log()
        assert conn.execute(used).fetchone() == (0,)
