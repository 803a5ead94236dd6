"""`taskyard up`, as somebody who has just cloned the repository uses it."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self

import httpx
import psutil
import pytest

from taskyard.environment import read_env_file
from taskyard.store import ledger
from taskyard_dev.home import temporary
from tests.support.fleet import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]


class Up:
    """A `taskyard up` in a process of its own."""

    def __init__(self, data_dir: Path, log: Path, *options: str, **variables: str) -> None:
        self.data_dir, self._log = data_dir, log
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKYARD_")}
        self.begun = time.monotonic()
        with log.open("wb") as output:
            self.process = psutil.Popen(
                [Path(sysconfig.get_path("scripts")) / "taskyard", "up", *options],
                # A proxy for the rest of the world, which is not to be asked for what is on this machine.
                env={
                    **environment,
                    "TASKYARD_DATA_DIR": str(data_dir),
                    "HTTP_PROXY": "http://127.0.0.1:1",
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_up(self, *, within: float = 100) -> Self:
        def up() -> bool:
            assert self.process.poll() is None, self.said()
            return "Submit a first task:" in self.said() and "Ctrl-C stops everything" in self.said()

        wait_until(up, within=within, otherwise=self.said)
        return self

    def family(self) -> list[psutil.Process]:
        """Itself and everything it has started."""
        return [self.process, *self.process.children(recursive=True)]

    def services(self) -> dict[int, str]:
        """The commands it runs right now, by process id."""
        found = {}
        for one in self.process.children():
            # One may end between the listing and the question.
            with suppress(psutil.Error):
                found[one.pid] = " ".join(one.cmdline())
        return found

    @property
    def env(self) -> dict[str, str]:
        return read_env_file(self.data_dir / "dev.env")

    def get(self, path: str) -> httpx.Response:
        env = self.env
        return httpx.get(
            env["TASKYARD_URL"] + path,
            headers={"Authorization": f"Bearer {env['TASKYARD_API_KEY']}"},
            timeout=20,
        )


def wait_until(condition: Callable[[], object], *, within: float = 40, otherwise: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"it didn't happen in time\n{otherwise()}"
        time.sleep(0.05)


def left(family: list[psutil.Process]) -> list[psutil.Process]:
    """Who of them still runs. Waiting to be reaped by somebody else isn't running."""
    return [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def start(server_home: Path) -> Iterator[Callable[..., Up]]:
    """Starts one after the other on the same data."""
    with starting_in(server_home) as make:
        yield make


@pytest.fixture(scope="module")
def start_beside_shared() -> Iterator[Callable[..., Up]]:
    """The same, on the data of the one that tests share."""
    with temporary("tests") as home, starting_in(home) as make:
        yield make


@pytest.fixture(scope="module")
def shared_up(start_beside_shared: Callable[..., Up]) -> Up:
    """One for tests that end none of it for good. Services may have been killed in it."""
    return start_beside_shared().wait_up()


@contextmanager
def starting_in(home: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []
    port = free_port()

    def make(*options: str, **variables: str) -> Up:
        log = home / f"up-{len(started)}.log"
        up = Up(home / "data", log, "--api-port", str(port), *options, **variables)
        started.append(up)
        return up

    yield make
    for up in started:
        if up.process.is_running():
            family = up.family()
            up.process.terminate()
            up.process.wait(60)
            assert not left(family)


@pytest.fixture
def start_beside(server_home: Path) -> Iterator[Callable[[int], Up]]:
    """Starts one with a data directory of its own, on ports that it chooses."""
    started: list[Up] = []

    def make(number: int) -> Up:
        started.append(Up(server_home / f"data-{number}", server_home / f"beside-{number}.log"))
        return started[-1]

    yield make
    running = [up for up in started if up.process.is_running()]
    for up in running:
        up.process.terminate()
    for up in running:
        up.process.wait(60)


def test_the_printed_line_submits_a_task_and_the_data_outlives_ctrl_c(start: Callable[..., Up]) -> None:
    up = start().wait_up()
    assert without_types(up) == [], "it says that it is up before a submit can be checked"
    match = re.search(r"^  (curl .*?\n.*?)$", up.said(), re.MULTILINE)
    assert match is not None, up.said()
    submitted = subprocess.run(shlex.split(match[1].replace("\\\n", "")), capture_output=True, check=True)
    task = f"/api/v1/tasks/{httpx.Response(200, content=submitted.stdout).json()['id']}"
    done = up.get(f"{task}?wait=20").json()
    assert (done["state"], done["result"]) == ("succeeded", {"value": "hello"}), up.said()

    key, family = up.env["TASKYARD_API_KEY"], up.family()
    assert (up.data_dir / "dev.env").stat().st_mode & 0o777 == 0o600
    assert list(up.env) == [
        f"TASKYARD_{name}"
        for name in (
            "URL",
            "API_KEY",
            "DATABASE_URL",
            "REDIS_URL",
            "API_METRICS_URL",
            "WORKER_METRICS_URL",
            "SCHEDULER_METRICS_URL",
            "SMTP_SINK_DIR",
            "DATA_DIR",
            "CONSOLE_PORT",
            "CONSOLE_API_KEY",
            "CONSOLE_SECRETS",
        )
    ]
    for name in ("API", "WORKER", "SCHEDULER"):
        assert httpx.get(up.env[f"TASKYARD_{name}_METRICS_URL"], timeout=30).status_code == 200, name

    said = in_a_shell_that_sourced(up.data_dir / "dev.env", "types --json")
    assert {"diagnostics.echo", "email.send"} <= {one["name"] for one in json.loads(said)}
    # A worker that is started by hand has the mail server of the stack's own workers.
    mail = '{"to_email": "eva@example.org", "subject": "Hi", "text": "Hi"}'
    in_a_shell_that_sourced(up.data_dir / "dev.env", f"run-task email.send {shlex.quote(mail)}")
    assert len(list((up.data_dir / "mails").glob("*.eml"))) == 1

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0, up.said()
    assert not left(family)

    again = start().wait_up()
    assert without_types(again) == []
    assert time.monotonic() - again.begun < 60, "a second start takes seconds"
    assert again.env["TASKYARD_API_KEY"] == key
    assert again.get(task).json()["state"] == "succeeded"


def without_types(up: Up) -> list[str]:
    """The live workers that have registered no task types yet; there is one at least that has."""
    engine = ledger.make_engine(up.env["TASKYARD_DATABASE_URL"], pool_size=1)
    query = """
        SELECT w.name, EXISTS (SELECT FROM worker_type t WHERE t.worker_id = w.id) AS has_types FROM worker w
        WHERE w.stopped_at IS NULL AND w.lost_at IS NULL"""
    rows = ledger.run(engine, lambda conn: conn.exec_driver_sql(query).all())
    engine.dispose()
    assert rows
    return [row.name for row in rows if not row.has_types]


def in_a_shell_that_sourced(dev_env: Path, arguments: str) -> str:
    """What `taskyard-worker` prints there, in another directory."""
    worker = Path(sysconfig.get_path("scripts")) / "taskyard-worker"
    script = f"set -a; . {shlex.quote(str(dev_env))}; set +a; cd /; {shlex.quote(str(worker))} {arguments}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKYARD_")}
    return subprocess.check_output(["sh", "-ec", script], env=environment, text=True)


@pytest.mark.long
def test_more_workers_and_schedulers_can_be_had(start: Callable[..., Up]) -> None:
    up = start("--workers", "2", "--schedulers", "2").wait_up()
    commands = up.services().values()
    assert sum("taskyard-worker run --queues high_priority,default,low_priority" in one for one in commands) == 2
    assert sum("taskyard-scheduler run" in one for one in commands) == 2


@pytest.mark.long
def test_a_service_that_is_killed_comes_back(shared_up: Up) -> None:
    up, told = shared_up, "was killed by SIGKILL; starting it again"
    before = up.said().count(told)
    for command in ("taskyard-api serve", "taskyard-scheduler run"):
        victim = next(pid for pid, line in up.services().items() if command in line)
        os.kill(victim, signal.SIGKILL)
        wait_until(partial(_replaced, up, command, victim), otherwise=up.said)
    wait_until(lambda: _answers(up), otherwise=up.said)
    assert up.said().count(told) == before + 2


@pytest.mark.long
def test_nothing_is_left_when_it_is_killed_and_it_starts_again(start: Callable[..., Up]) -> None:
    first = start().wait_up()
    family = first.family()
    first.process.kill()
    first.process.wait()
    second = start().wait_up()
    wait_until(lambda: not left(family), otherwise=lambda: str(left(family)))
    assert second.get("/api/v1/tasks").status_code == 200


@pytest.mark.long
def test_the_mail_server_of_one_run_is_not_that_of_the_next(start: Callable[..., Up]) -> None:
    named = {"HOST": "mail.example", "USER": "eva", "PASSWORD": "hunter2"}
    first = start(**{f"TASKYARD_SMTP_{name}": value for name, value in named.items()}).wait_up()
    assert "really sent, by mail.example:587" in first.said()
    first.process.send_signal(signal.SIGINT)
    first.process.wait(60)
    second = start().wait_up()
    assert f"mails    {second.data_dir / 'mails'}" in second.said()
    kept = read_env_file(second.data_dir / "services.env")
    assert kept["TASKYARD_SMTP_HOST"] == "127.0.0.1"
    assert "TASKYARD_SMTP_USER" not in kept
    assert "hunter2" not in first.said()


@pytest.mark.long
def test_a_second_one_on_the_same_data_says_so(shared_up: Up, start_beside_shared: Callable[..., Up]) -> None:
    assert shared_up.process.is_running()
    second = start_beside_shared()
    assert second.process.wait(30) == 1
    assert "another stack is running" in second.said()


@pytest.mark.long
def test_four_that_start_together_come_up_each_on_ports_of_its_own(
    start_beside: Callable[[int], Up],
) -> None:
    ups = [start_beside(number) for number in range(4)]
    for up in ups:
        up.wait_up(within=200)
    urls = [value for up in ups for name, value in up.env.items() if name.endswith("_URL")]
    ports = [httpx.URL(url).port for url in urls]
    assert len(ports) == len(set(ports)) == 4 * 6
    assert all("ended with status" not in up.said() for up in ups), "no service lost its port"
    # Each has asked its own API: the others do not know its key.
    keys = [up.env["TASKYARD_API_KEY"] for up in ups]
    for up in ups:
        bearers = [{"Authorization": f"Bearer {key}"} for key in keys]
        said = [httpx.get(f"{up.env['TASKYARD_URL']}/api/v1/tasks", headers=bearer, timeout=20) for bearer in bearers]
        assert [answer.status_code == 200 for answer in said] == [key == up.env["TASKYARD_API_KEY"] for key in keys]


@pytest.mark.long
def test_nothing_else_can_answer_at_its_address_while_the_api_is_started_again(shared_up: Up) -> None:
    up = shared_up
    address = ("127.0.0.1", httpx.URL(up.env["TASKYARD_URL"]).port)
    victim = next(pid for pid, line in up.services().items() if "taskyard-api serve" in line)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(OSError, match="Address already in use"):
        socket.create_server(address)
    # A request waits in the queue of the socket instead of being refused.
    assert up.get("/health/live").status_code == 200


def _replaced(up: Up, command: str, pid: int) -> bool:
    return any(command in line and other != pid for other, line in up.services().items())


def _answers(up: Up) -> bool:
    try:
        return up.get("/health/ready").status_code == 200
    except httpx.HTTPError:
        return False
