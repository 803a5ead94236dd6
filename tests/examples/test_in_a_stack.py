"""The examples in a worker of a real stack. They are installed in that worker's environment, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from taskyard.environment import read_env_file
from taskyard.testing import Process, Stack, StartWorker
from tests.examples.conftest import WorkerEnvironment
from tests.support.fleet import metrics_of, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

ORDER = {"customer": "ada", "lines": [{"text": "paper", "price": 0.10, "count": 3}]}
EMPTY = {"customer": "ada", "lines": []}
TOKEN = "a-token-nobody-may-read"


class Outside:
    """What callers and operators see of the stack; none of it has the examples installed."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        headers = {"Authorization": f"Bearer {stack.api_key}"}
        self.http = httpx.Client(base_url=f"{stack.url}/api/v1/", headers=headers, timeout=60, trust_env=False)

    def submit(self, name: str, params: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:
        answer = self.http.post("tasks", json={"name": name, "params": params, **more})
        return answer.status_code, answer.json()

    def task(self, task_id: str, language: str | None = None) -> dict[str, Any]:
        headers = {} if language is None else {"Accept-Language": language}
        found: dict[str, Any] = self.http.get(f"tasks/{task_id}", headers=headers).json()
        return found

    def workers_of(self, name: str) -> list[str]:
        shown = self.http.get(f"task-types/{name}").json()
        return [worker["worker"] for version in shown["versions"] for worker in version["workers"]]

    def command(self, *command: str, code: int = 0) -> str:
        """What a command of the repository's environment says; errors where its exit code is another than 0."""
        program, *arguments = command
        environment = {**self.stack.environment, "TASKYARD_URL": self.stack.url, "TASKYARD_API_KEY": self.stack.api_key}
        path = str(Path(sysconfig.get_path("scripts")) / program)
        done = subprocess.run(
            [path, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def was_put_off(self, task_id: str) -> bool:
        """Whether a worker has met it that cannot run it."""
        return '"put_off"' in self.http.get(f"tasks/{task_id}/events").text

    def row(self, task_id: str) -> tuple[Any, ...]:
        """State, attempt and parameters in the ledger."""
        with psycopg.connect(self.stack.database_url.replace("+psycopg", "")) as conn:
            found = conn.execute("SELECT state, attempt, params::text FROM task WHERE id = %s", [task_id]).fetchone()
        assert found is not None
        return found


@pytest.fixture
def outside(taskyard_stack: Stack) -> Iterator[Outside]:
    made = Outside(taskyard_stack)
    importable = [sys.executable, "-c", "import invoices"]
    assert subprocess.run(
        importable, env=dict(taskyard_stack.environment), stderr=subprocess.DEVNULL, check=False
    ).returncode
    yield made
    made.http.close()


@pytest.fixture
def worker(worker_environment: WorkerEnvironment, taskyard_worker: StartWorker) -> Process:
    worker_environment.install("invoices")
    return start(taskyard_worker, worker_environment)


def start(taskyard_worker: StartWorker, environment: WorkerEnvironment) -> Process:
    return taskyard_worker(
        queues="invoices", program=environment.program, INVOICES_CURRENCY="CHF", TASKYARD_WORKER_NAME="bookkeeping"
    )


@pytest.mark.long
def test_a_kit_of_a_users_own_runs_in_a_worker_of_its_queue(taskyard_stack: Stack, worker: Process) -> None:
    done = taskyard_stack.run("invoices.write", ORDER)
    assert done["result"] == {"customer": "ada", "total": "0.30", "currency": "CHF"}
    assert taskyard_stack.run("invoices.number", {"year": 2026, "count": 17})["result"] == "2026-00017"
    failed = taskyard_stack.run("invoices.write", EMPTY)
    assert failed["error"]["code"] == "nothing_to_bill"
    assert failed["error"]["message"] == "ada has nothing to pay. Add a line to the invoice."
    refused = taskyard_stack.run("invoices.payments", {"account": "1", "token": TOKEN})
    assert refused["error"]["code"] == "bank_not_configured"
    assert refused["params"]["token"] == "***"
    wait_for(lambda: f"invoices.write {failed['id']} failed: nothing_to_bill" in worker.log(), 10, "the hook's line")
    assert TOKEN not in worker.log()


@pytest.mark.usefixtures("worker")
@pytest.mark.long
def test_the_api_knows_the_types_that_only_a_worker_has(outside: Outside) -> None:
    listed = {item["name"]: item for item in outside.http.get("task-types").json()["items"]}
    assert {name for name in listed if name.startswith("invoices.")} == {
        "invoices.number", "invoices.write", "invoices.payments",
    }  # fmt: skip
    shown = listed["invoices.payments"]
    assert (shown["kit"], shown["queue"], shown["retry"]["max_attempts"]) == ("invoices", "invoices", 5)
    assert shown["description"] == "Asks the bank how many payments have arrived."
    assert shown["params"]["required"] == ["account", "token"]
    assert set(shown["errors"]["bank_refused"]["words"]) == {"en", "de"}
    assert outside.workers_of("invoices.payments") == ["bookkeeping"]


@pytest.mark.usefixtures("worker")
def test_the_api_refuses_its_bad_parameters_with_pointers_and_plain_sentences(outside: Outside) -> None:
    line = {"text": "", "price": -1, "cuont": 2}
    status, told = outside.submit("invoices.write", {"customer": "ada", "lines": [line]})
    assert status == 422
    assert {(error["pointer"], error["message"]) for error in told["errors"]} == {
        ("/params/lines/0/text", "Must have at least 1 character."),
        ("/params/lines/0/price", "Must be 0 or more."),
        ("/params/lines/0/cuont", "There is no parameter `cuont`. Did you mean `count`?"),
    }
    said = outside.command("taskyard", "tasks", "submit", "invoices.number", "--param", "year=1999", code=1)
    assert "/params/year: Must be 2000 or more." in said
    assert "/params/count: `count` is required." in said


@pytest.mark.usefixtures("worker")
@pytest.mark.long
def test_the_api_encrypts_its_secret(outside: Outside) -> None:
    status, task = outside.submit("invoices.payments", {"account": "1", "token": TOKEN}, delay_seconds=3600)
    assert (status, task["params"]["token"]) == (202, "***")
    stored = json.loads(outside.row(task["id"])[2])
    assert stored["account"] == "1"
    assert set(stored["token"]) == {"$secret"}
    assert TOKEN not in str(stored)


@pytest.mark.usefixtures("worker")
@pytest.mark.long
def test_its_errors_are_told_in_the_readers_language(outside: Outside) -> None:
    failed = outside.stack.run("invoices.write", EMPTY)["id"]
    german = "ada hat nichts zu zahlen. Fügen Sie der Rechnung eine Position hinzu."
    assert outside.task(failed, "de-AT, en;q=0.5")["error"]["message"] == german
    english = "ada has nothing to pay. Add a line to the invoice."
    assert outside.task(failed, "fr")["error"]["message"] == english
    assert outside.task(failed)["error"]["message"] == english


@pytest.mark.usefixtures("worker")
@pytest.mark.long
def test_commands_and_scheduler_know_the_types_that_only_a_worker_has(outside: Outside) -> None:
    (shown,) = json.loads(outside.command("taskyard-api", "types", "show", "invoices.write", "--json"))
    assert (shown["state"], shown["kit"]) == ("live", "invoices")
    assert [worker["worker"] for worker in shown["workers"]] == ["bookkeeping"]
    assert "invoices.number" in outside.command("taskyard-api", "types", "list")
    submitted = outside.command("taskyard", "tasks", "submit", "invoices.write", json.dumps(EMPTY)).strip()
    wait_for(lambda: outside.task(submitted)["finished_at"], 30, "the end")
    letters = outside.command("taskyard-scheduler", "dead-letters", "list", "--code", "nothing_to_bill")
    assert submitted in letters
    assert "invoices.write" in letters
    # The scheduler counts under its name what it would count as `_other` where it did not know the type.
    url = read_env_file(Path(outside.stack.environment["TASKYARD_DATA_DIR"]) / "dev.env")[
        "TASKYARD_SCHEDULER_METRICS_URL"
    ]
    named = 'task="invoices.write"'

    def counted() -> bool:
        return any(value > 0 for name, value in metrics_of(url).items() if "dead_letters{" in name and named in name)

    wait_for(counted, 60, "the dead letter in the scheduler's metrics", every=0.5)


@pytest.mark.long
def test_when_it_is_uninstalled_its_tasks_wait_and_callers_are_told(
    outside: Outside, worker: Process, worker_environment: WorkerEnvironment, taskyard_worker: StartWorker
) -> None:
    waiting = []
    for _ in range(3):
        status, task = outside.submit("invoices.write", ORDER, delay_seconds=8)
        assert (status, task.get("warnings")) == (202, None)
        waiting.append(task["id"])
    worker.stop()
    worker_environment.uninstall("example-invoices")
    without = start(taskyard_worker, worker_environment)
    wait_for(lambda: outside.workers_of("invoices.write") == [], 30, "the type without a worker", every=0.2)
    assert "no live worker since" in outside.command("taskyard-api", "types", "show", "invoices.write")

    status, task = outside.submit("invoices.write", ORDER)
    assert status == 202
    assert [warned["code"] for warned in task["warnings"]] == ["no_live_worker"]
    assert "No live worker runs invoices.write on the queue invoices" in task["warnings"][0]["message"]
    waiting.append(task["id"])
    assert outside.submit("invoices.write", {"customer": "ada"})[0] == 422, "it is checked as before"

    for task_id in waiting:
        wait_for(partial(outside.was_put_off, task_id), 30, "the worker to meet it", every=0.2)
    assert without.process.poll() is None
    assert all(outside.row(i)[0] in {"scheduled", "queued"} for i in waiting)
    assert [outside.row(i)[1] for i in waiting] == [0] * 4, "no attempt is spent"

    without.stop()
    worker_environment.install("invoices")
    start(taskyard_worker, worker_environment)
    wait_for(lambda: all(outside.row(i)[0] == "succeeded" for i in waiting), 60, "all to succeed", every=0.2)
    assert {outside.task(i)["result"]["total"] for i in waiting} == {"0.30"}
    assert [outside.row(i)[1] for i in waiting] == [1] * 4


@pytest.mark.long
def test_an_async_engine_is_made_in_the_child_and_disposed_at_its_end(
    taskyard_stack: Stack, worker_environment: WorkerEnvironment, taskyard_worker: StartWorker
) -> None:
    worker_environment.install("orders")
    url = taskyard_stack.database_url
    own = f"{url.rpartition('/')[0]}/orders"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("CREATE DATABASE orders")
    with psycopg.connect(own.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("CREATE TABLE customer_order (id integer PRIMARY KEY, customer text, state text, shipped_by text)")
        conn.execute("INSERT INTO customer_order SELECT n, 'ada', 'open' FROM generate_series(1, 20) AS n")
        worker = taskyard_worker(queues="orders", program=worker_environment.program, ORDERS_DATABASE_URL=own)
        used = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'orders'"
        assert conn.execute(used).fetchone() == (0,), "no connection before the first task"
        for order in range(1, 21):
            assert taskyard_stack.run("orders.ship", {"order_id": order})["result"] == "ada"
        assert conn.execute(used).fetchone() == (1,), "one engine, whose connection is used again"
        worker.stop()
        assert worker.process.returncode == 0
        assert "the engine of the orders is disposed" in worker.log()
        assert conn.execute(used).fetchone() == (0,)
