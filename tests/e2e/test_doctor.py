"""`taskyard doctor` names the part that is slow or broken, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from taskyard.domain.api_keys import read_key
from taskyard.store import api_keys, ledger
from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.support.fleet import KEY, Fleet, children, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
BIN = Path(sys.executable).parent


class Told:
    """What the doctor said with --json, by step."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.stdout, done.stderr
        self.code = done.returncode
        document = json.loads(done.stdout)
        self.says: str = document["says"]
        self.checks: dict[str, dict[str, Any]] = {check["step"]: check for check in document["checks"]}

    def verdict(self, step: str) -> str:
        return str(self.checks[step]["verdict"])

    @property
    def failed(self) -> list[str]:
        return [step for step, check in self.checks.items() if check["verdict"] == "fail"]


def ask(fleet: Fleet, *arguments: str, key: str = KEY, port: int | None = None) -> Told:
    environment = {**fleet.environment, "TASKYARD_URL": f"http://127.0.0.1:{port or fleet.port}"}
    done = subprocess.run(
        [BIN / "taskyard", "doctor", "--json", *arguments],
        env={**environment, "TASKYARD_API_KEY": key}, text=True, capture_output=True, timeout=90, check=False,
    )  # fmt: skip
    return Told(done)


def key_with(fleet: Fleet, *scopes: str) -> str:
    text = f"ty_{secrets.token_hex(4)}_{'k' * 43}"
    key = read_key(text)

    def make(conn: sa.Connection) -> None:
        api_keys.create(conn, name=key.prefix, prefix=key.prefix, digest=key.digest, scopes=list(scopes))

    ledger.run_transaction(fleet.engine, make)
    return text


def waiting_echoes(fleet: Fleet) -> int:
    return int(fleet.query("SELECT count(*) AS n FROM task WHERE finished_at IS NULL")[0].n)


def test_an_echo_comes_back_through_each_served_queue_in_production_too(fleet: Fleet) -> None:
    fleet.environment["TASKYARD_DIAGNOSTICS"] = "0"
    fleet.start_all(queues="default,selection")
    told = ask(fleet, "--slow-echo", "30", "--slow-answer", "30")
    assert (told.code, told.failed) == (0, []), told.checks
    assert told.verdict("scheduler") == told.verdict("outbox") == told.verdict("live events") == "ok"
    assert told.verdict("postgresql") == told.verdict("redis itself") == "ok", "their addresses are in the environment"
    for queue in ("default", "selection"):
        echo = told.checks[f"echo {queue}"]
        assert echo["verdict"] == "ok"
        assert all(stage in echo["says"] for stage in ("submit", "claim", "run", "told"))
    assert "echo high_priority" not in told.checks, "no worker serves it"
    assert waiting_echoes(fleet) == 0
    slow = ask(fleet, "--slow-echo", "0", "--no-servers", "--queue", "selection")
    assert (slow.code, slow.verdict("echo selection")) == (0, "slow"), "slow is a warning"
    assert "postgresql" not in slow.checks
    assert "echo default" not in slow.checks


def test_a_key_that_may_less_is_told_what_was_not_looked_at(fleet: Fleet) -> None:
    fleet.start_all()
    wrong = ask(fleet, key="ty_e2etests_" + "w" * 43)
    assert (wrong.code, wrong.failed) == (1, ["key"])
    assert "echo default" not in wrong.checks
    reads = ask(fleet, key=key_with(fleet, "read"))
    assert (reads.code, reads.verdict("key"), reads.verdict("echo")) == (0, "warn", "skip")
    assert reads.verdict("queue default") == "ok"
    submits = ask(fleet, key=key_with(fleet, "submit"))
    assert (submits.code, submits.verdict("key"), submits.verdict("echo default")) == (0, "warn", "warn")
    away = ask(fleet, port=free_port())
    assert (away.code, away.failed) == (3, ["connect"])


def test_without_a_worker_or_a_scheduler_these_are_named_and_the_echo_is_taken_back(fleet: Fleet) -> None:
    fleet.start_api()
    worker = fleet.start_worker()
    headless = ask(fleet, "--queue", "default")
    assert (headless.code, headless.failed) == (1, ["scheduler"])
    stopped = [worker.pid, *children(worker.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        silent = ask(fleet, "--queue", "default", "--timeout", "7")
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
    assert silent.code == 1
    assert "no live worker serves the queue" in silent.checks["echo default"]["says"]
    assert "is lost, last heard of" in silent.checks["echo default"]["says"]
    assert "it was cancelled" in silent.checks["echo default"]["says"]
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    alone = ask(fleet, "--queue", "default", "--timeout", "30")
    assert alone.checks["queue default"]["runbook"] == "TaskyardNoWorkerForQueue"
    assert "not claimed: no live worker" in alone.checks["echo default"]["says"], "it need not wait to know"
    assert ask(fleet).checks["workers"]["says"] == "none is alive"
    wait_for(lambda: waiting_echoes(fleet) == 0, 10, "the echoes to be cancelled")


def test_redis_and_postgresql_are_named_when_they_are_away(
    own_fleet: Fleet, own_valkey: Valkey, own_postgres: Postgres
) -> None:
    fleet = own_fleet
    fleet.start_all()
    assert ask(fleet, "--queue", "default").code == 0
    own_valkey.stop()
    try:
        dumb = ask(fleet, "--queue", "default", "--timeout", "2")
        assert dumb.code == 1
        assert {"redis", "echo default", "redis itself"} <= set(dumb.failed)
        assert "not published after 2 s: Redis does not answer" in dumb.checks["echo default"]["says"]
        assert dumb.checks["echo default"]["runbook"] == "TaskyardRedisDown"
        assert waiting_echoes(fleet) == 0
    finally:
        own_valkey.start()
    own_postgres.stop()
    try:
        lost = ask(fleet, "--queue", "default")
        assert lost.code == 1
        assert lost.failed[0] == "ready"
        assert {"ready", "postgresql"} <= set(lost.failed)
        assert "echo default" not in lost.checks, "no submit would be accepted"
    finally:
        own_postgres.start()
