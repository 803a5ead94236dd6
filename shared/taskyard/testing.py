"""Tests of tasks: `run_task`, and a pytest plugin that pytest finds by itself.

    from taskyard.testing import run_task

    def test_invoice() -> None:
        assert run_task(invoice, {"customer": "ada"}).result == {"number": "2026-17"}

run_task, run_task_async    one attempt in this process, without any server; the fixture `run_task` is the same function
taskyard_environment        override it: variables for the stack, such as TASKYARD_TASK_MODULES
taskyard_postgres           the address of a real, empty PostgreSQL, for this session
taskyard_stack              the whole platform on this machine, for this session
taskyard_worker             call it for one more worker of that stack

The last three need the development stack (the distribution `taskyard-dev`); without it, their tests are skipped.
Nothing beside pytest is imported before something is used.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .running.trial import NotAdmitted, TaskRun, run_task, run_task_async

_OF_TRIAL = ("NotAdmitted", "TaskRun", "run_task", "run_task_async")
_DEVELOPMENT_STACK = "taskyard_dev"
_UP_SECONDS = 120.0
_STOP_SECONDS = 60.0
# The API looks for task types that it does not know once a second.
_KNOWN_SECONDS = 1.0


def __getattr__(name: str) -> Any:
    if name not in _OF_TRIAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("taskyard.running.trial"), name)


@dataclass(frozen=True, slots=True)
class Stack:
    """A running development stack. `environment` is what its commands and services need to find it."""

    url: str
    api_key: str
    database_url: str
    redis_url: str
    environment: Mapping[str, str]

    def run(
        self, name: str, params: Mapping[str, Any] | None = None, *, seconds: float = 60.0, **more: Any
    ) -> dict[str, Any]:
        """Submits a task and returns it as the API shows it once it has ended. `more`: other fields of a submit.

        Raises TimeoutError after `seconds`, and what `taskyard_client.Client` raises.
        """
        from taskyard_client import Client

        with Client(self.url, self.api_key) as client:
            return client.wait(client.submit(name, params, **more).id, seconds).as_sent()


StartWorker = Callable[..., "Process"]


@pytest.fixture(name="run_task")
def _run_task() -> Callable[..., TaskRun]:
    """`taskyard.testing.run_task`."""
    from .running.trial import run_task

    return run_task


@pytest.fixture(scope="session")
def taskyard_environment() -> dict[str, str]:
    """Variables for the services of `taskyard_stack`."""
    return {}


@pytest.fixture(scope="session")
def taskyard_postgres() -> Iterator[str]:
    """The address of an empty database, `postgresql+psycopg://...`."""
    _need_development_stack()
    with _directory() as home, _process([sys.executable, "-m", "taskyard_dev.servers", "--data-dir", str(home)]) as it:
        assert it.process.stdout is not None
        for line in it.process.stdout:
            name, _, value = line.decode().strip().partition("=")
            if name == "TASKYARD_DATABASE_URL":
                yield value.strip("'")
                return
        pytest.fail(f"PostgreSQL does not start:\n{it.log()}")


@pytest.fixture(scope="session")
def taskyard_stack(taskyard_environment: Mapping[str, str]) -> Iterator[Stack]:
    """`taskyard up` in a directory of its own, stopped at the end of the session."""
    _need_development_stack()
    with _directory() as home:
        variables = {**taskyard_environment, "TASKYARD_DATA_DIR": str(home / "data")}
        with _process([_command("taskyard"), "up"], variables) as up:
            found = _wait_up(up, home / "data")
            services = _read(home / "data" / "services.env")
            yield Stack(
                url=found["TASKYARD_URL"],
                api_key=found["TASKYARD_API_KEY"],
                database_url=found["TASKYARD_DATABASE_URL"],
                redis_url=found["TASKYARD_REDIS_URL"],
                environment={
                    **variables,
                    **services,
                    "TASKYARD_DATABASE_URL": found["TASKYARD_DATABASE_URL"],
                    "TASKYARD_REDIS_URL": found["TASKYARD_REDIS_URL"],
                    "TASKYARD_METRICS_PORT": "0",
                },
            )


@pytest.fixture
def taskyard_worker(taskyard_stack: Stack) -> Iterator[StartWorker]:
    """`taskyard_worker(queues="reports", TASKYARD_TASK_MODULES="billing.tasks")` starts a worker and waits until it has
    registered; it is stopped at the end of the test, or by `stop()` of what is returned. `program`: the taskyard-worker
    of another environment."""
    with ExitStack() as stack:
        home = stack.enter_context(_directory())

        def start(
            *, queues: str = "default", processes: int = 1, program: Path | str | None = None, **variables: str
        ) -> Process:
            alive = home / f"{len(list(home.iterdir()))}.alive"
            worker_program = str(program or _command("taskyard-worker"))
            command = [worker_program, "run", "--queues", queues, "--processes", str(processes)]
            own = {**taskyard_stack.environment, "TASKYARD_HEALTH_FILE": str(alive), **variables}
            worker = stack.enter_context(_process(command, own))
            healthy = [worker_program, "healthcheck", "--ready"]
            worker.wait_for(lambda: _succeeds(healthy, own), "the worker is not ready")
            time.sleep(_KNOWN_SECONDS)
            return worker

        yield start


@dataclass(frozen=True, slots=True)
class Process:
    """A running service."""

    process: subprocess.Popen[bytes]
    output: Path

    def log(self) -> str:
        """What it has written."""
        return self.output.read_text(errors="replace")

    def stop(self) -> None:
        """Asks it to finish its work and end, and waits for that."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def wait_for(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _UP_SECONDS
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{otherwise}:\n{self.log()[-4000:]}")
            time.sleep(0.1)


def _need_development_stack() -> None:
    if importlib.util.find_spec(_DEVELOPMENT_STACK) is None:
        pytest.skip("needs the development stack: install the distribution taskyard-dev in this environment")


@contextmanager
def _directory() -> Iterator[Path]:
    """Under root, PostgreSQL runs as another account, which may pass through the directory, but not list it."""
    with tempfile.TemporaryDirectory(prefix="taskyard-testing-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def _process(command: list[str], variables: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A process that ends with the block."""
    with (
        tempfile.NamedTemporaryFile(prefix="taskyard-testing-") as log,
        subprocess.Popen(
            command,
            env=_beside(variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if variables is None else log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        running = Process(process, Path(log.name))
        try:
            yield running
        finally:
            running.stop()


def _wait_up(up: Process, data: Path) -> dict[str, str]:
    """`taskyard up` writes its addresses once everything is ready."""
    up.wait_for((data / "dev.env").exists, "the stack does not start")
    return _read(data / "dev.env")


def _read(path: Path) -> dict[str, str]:
    from .environment import read_env_file

    return read_env_file(path)


def _succeeds(command: list[str], variables: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=_beside(variables), capture_output=True, timeout=60, check=False).returncode == 0


def _beside(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment with these variables, and without those of another installation."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("TASKYARD_")}, **variables}


def _command(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


__all__ = ["NotAdmitted", "Process", "Stack", "StartWorker", "TaskRun", "run_task", "run_task_async"]
