"""`taskyard doctor` names the part that is slow or broken, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from taskyard_dev.postgres import Postgres
from taskyard_dev.servers import Valkey
from tests.support.fleet import KEY, Fleet, children, wait_for

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


def ask(fleet: Fleet, *arguments: str) -> Told:
    environment = {**fleet.environment, "TASKYARD_URL": f"http://127.0.0.1:{fleet.port}"}
    done = subprocess.run(
        [BIN / "taskyard", "doctor", "--json", *arguments],
        env={**environment, "TASKYARD_API_KEY": KEY}, text=True, capture_output=True, timeout=90, check=False,
    )  # fmt: skip
    return Told(done)


def waiting_echoes(fleet: Fleet) -> int:
    return int(fleet.query("SELECT count(*) AS n FROM task WHERE finished_at IS NULL")[0].n)


@pytest.mark.long
def test_the_part_that_is_missing_is_named_in_production_too_and_no_echo_is_left(fleet: Fleet) -> None:
    """One installation: without a scheduler, whole, with a worker that hangs, and without a worker."""
    fleet.environment["TASKYARD_DIAGNOSTICS"] = "0"
    fleet.start_api()
    worker = fleet.start_worker(queues="default,selection")
    headless = ask(fleet, "--queue", "default")
    assert (headless.code, headless.failed) == (1, ["scheduler"])

    fleet.start_scheduler()
    wait_for(lambda: fleet.query("SELECT FROM leader WHERE expires_at > now()"), 30, "a leader")
    whole = ask(fleet, "--slow-echo", "30", "--slow-answer", "30")
    assert (whole.code, whole.failed) == (0, []), whole.checks
    assert whole.says.startswith("Everything works: 2 echoes came back within ")
    assert whole.verdict("scheduler") == whole.verdict("outbox") == whole.verdict("live events") == "ok"
    assert whole.verdict("postgresql") == whole.verdict("redis itself") == "ok", (
        "their addresses are in the environment"
    )
    for queue in ("default", "selection"):
        assert all(stage in whole.checks[f"echo {queue}"]["says"] for stage in ("submit", "claim", "run", "told"))
    assert "echo high_priority" not in whole.checks, "no worker serves it"

    stopped = [worker.pid, *children(worker.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        silent = ask(fleet, "--queue", "default", "--timeout", "6", "--no-servers")
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
    assert silent.code == 1
    assert "postgresql" not in silent.checks
    assert "no live worker serves the queue; " in silent.checks["echo default"]["says"]
    assert "is lost, last heard of" in silent.checks["echo default"]["says"]
    assert "it was cancelled" in silent.checks["echo default"]["says"]

    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    alone = ask(fleet, "--queue", "default", "--timeout", "30", "--no-servers")
    assert alone.checks["queue default"]["runbook"] == "TaskyardNoWorkerForQueue"
    assert "not claimed: no live worker" in alone.checks["echo default"]["says"], "it need not wait to know"
    wait_for(lambda: waiting_echoes(fleet) == 0, 10, "the echoes to be cancelled")


@pytest.mark.long
def test_redis_and_postgresql_are_named_when_they_are_away(
    own_fleet: Fleet, own_valkey: Valkey, own_postgres: Postgres
) -> None:
    fleet = own_fleet
    fleet.start_all()
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
