"""`taskyard-api serve --processes N`: several processes, one address, and what they count and limit together."""

import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.integration.api.program import BIN, command, environment
from tests.support.fleet import offspring, wait_for
from tests.support.specs import register_kits

ECHO = {"name": "diagnostics.echo", "params": {"value": 1}}
PROCESSES = 3


@dataclass
class Served:
    keeper: subprocess.Popen[str]
    said: list[dict[str, Any]] = field(default_factory=list)

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def is_said() -> bool:
            found[:] = [line for line in self.said if line["event"] == event]
            return len(found) >= count

        wait_for(is_said, 60, f"{count} of {event}")
        return found

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.wait_for('serving')[0]['port']}"

    @property
    def metrics(self) -> dict[str, float]:
        text = httpx.get(f"http://127.0.0.1:{self.wait_for('serving')[0]['metrics_port']}/metrics").text
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


@contextmanager
def served(env: dict[str, str]) -> Iterator[Served]:
    command = [str(BIN / "taskyard-api"), "serve", "--processes", str(PROCESSES)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as keeper:
        served = Served(keeper)
        threading.Thread(target=_listen, args=[served], daemon=True).start()
        try:
            served.wait_for("serving")
            yield served
        finally:
            for pid in offspring(keeper.pid):
                os.kill(pid, signal.SIGKILL)
            keeper.kill()


def _listen(served: Served) -> None:
    assert served.keeper.stderr is not None
    served.said += (json.loads(line) for line in served.keeper.stderr if line.startswith("{"))


def _submit(address: str, headers: dict[str, str], until: threading.Event) -> list[str]:
    """The ids of what was accepted, one a connection: each may lead to another process."""
    accepted = []
    while not until.is_set():
        try:
            answer = httpx.post(f"{address}/api/v1/tasks", json=ECHO, headers=headers, timeout=20)
        except httpx.TransportError:
            continue  # the process that had the connection was killed
        assert answer.status_code == 202, answer.text
        accepted.append(answer.json()["id"])
    return accepted


def test_a_process_that_is_killed_under_load_loses_no_accepted_task_and_is_started_again(
    database_url: str, redis_url: str, engine: Engine
) -> None:
    register_kits(engine)
    env = environment(database_url, redis_url)
    headers = {"Authorization": "Bearer " + json.loads(command(env, "keys", "bootstrap", "--json").stdout)["key"]}
    until = threading.Event()
    with served(env) as api, ThreadPoolExecutor() as threads:
        submits = [threads.submit(_submit, api.address, headers, until) for _ in range(4)]
        try:
            time.sleep(1)
            pid = api.wait_for("process_serving", PROCESSES)[0]["pid"]
            os.kill(pid, signal.SIGKILL)
            ended = api.wait_for("process_ended")
            assert [line["exit_code"] for line in ended] == [-signal.SIGKILL]
            assert len({line["pid"] for line in api.wait_for("process_serving", PROCESSES + 1)}) == PROCESSES + 1
        finally:
            until.set()
        accepted = {task for submit in submits for task in submit.result()}
        asked = sum(value for name, value in api.metrics.items() if name.startswith("taskyard_tasks_submitted_total{"))
        # What was counted while its answer got lost with the process is more than what was received.
        assert 0 <= asked - len(accepted) <= len(submits), "the counts of the dead process stay, and all are summed"
        wait_for(lambda: api.metrics["taskyard_http_requests_in_progress"] == 0, what="no request in progress")
        api.keeper.send_signal(signal.SIGTERM)
        assert api.keeper.wait(30) == 0
        assert [line for line in api.said if line["event"] == "stopped"] != []
    with engine.connect() as conn:
        assert accepted <= {str(row[0]) for row in conn.exec_driver_sql("SELECT id FROM task")}
        assert accepted


@pytest.mark.long
def test_the_rate_of_a_key_holds_over_all_processes(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url, TASKYARD_RATE_LIMIT_PER_SECOND="0.1")
    headers = {"Authorization": "Bearer " + json.loads(command(env, "keys", "bootstrap", "--json").stdout)["key"]}
    with served(env) as api, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(httpx.get, f"{api.address}/api/v1/key", headers=headers, timeout=20) for _ in range(24)]
        statuses = [answer.result().status_code for answer in asked]
        assert statuses.count(200) == 1
        assert statuses.count(429) == len(statuses) - 1


@pytest.mark.long
def test_the_others_end_when_the_one_that_keeps_them_is_killed(database_url: str, redis_url: str) -> None:
    with served(environment(database_url, redis_url)) as api:
        host, port = "127.0.0.1", int(api.address.rpartition(":")[2])
        pids = [line["pid"] for line in api.wait_for("process_serving", PROCESSES)]
        parsers = ["/httptools/" in Path(f"/proc/{pid}/maps").read_text() for pid in (api.keeper.pid, *pids)]
        assert parsers == [False, *[True] * PROCESSES], "the keeper loads nothing that serves requests"
        api.keeper.kill()
        api.keeper.wait()
        wait_for(lambda: not any(_runs(pid) for pid in pids), 30, "the processes to end")
        with socket.create_server((host, port)):
            pass  # a successor finds the address free


@pytest.mark.long
def test_a_process_that_cannot_be_started_again_is_tried_until_it_can(database_url: str, redis_url: str) -> None:
    with served(environment(database_url, redis_url)) as api:
        pid = api.wait_for("process_serving", PROCESSES)[0]["pid"]
        limits = resource.prlimit(api.keeper.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(api.keeper.pid, resource.RLIMIT_NOFILE, (3, limits[1]))  # what is open stays so
        os.kill(pid, signal.SIGKILL)
        api.wait_for("process_not_started", 2)
        resource.prlimit(api.keeper.pid, resource.RLIMIT_NOFILE, limits)
        api.wait_for("process_serving", PROCESSES + 1)
        api.keeper.send_signal(signal.SIGTERM)
        assert api.keeper.wait(30) == 0


def test_a_setting_that_no_process_can_serve_with_ends_all_of_them(database_url: str, redis_url: str) -> None:
    env = environment(database_url, redis_url, TASKYARD_SUBMIT_HOOKS="nowhere:hook")
    ended = command(env, "serve", "--processes", "2")
    assert ended.returncode == 2
    assert "nowhere" in ended.stderr
    said = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    assert 2 in [line["exit_code"] for line in said if line["event"] == "process_ended"]


def test_its_hidden_option_is_checked(database_url: str, redis_url: str) -> None:
    ended = command(environment(database_url, redis_url), "serve", "--member", "foo")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] != "Z"
