"""Real services in processes of their own, against real servers, for tests that kill things."""

import atexit
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy import Engine

from taskyard.domain.api_keys import read_key
from taskyard.store import api_keys, ledger
from taskyard_worker.programs import TEMPLATE
from tests.support.effects import FILE_VARIABLE
from tests.support.task_role import as_tasks
from tests.support.tls import TLS

KEY = "ty_e2etests_" + "k" * 43
FINAL = {"succeeded", "failed", "cancelled"}
T = TypeVar("T")
_BIN = Path(sys.executable).parent


class Fleet:
    """Starts `taskyard-*` commands; `stop` ends what is left, by pid."""

    def __init__(self, home: Path, database_url: str, redis_url: str) -> None:
        self.home = home
        self.effects = home / "effects"
        self.port = free_port()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")},
            "TASKYARD_DATABASE_URL": database_url,
            "TASKYARD_TASK_DATABASE_URL": as_tasks(database_url),
            "TASKYARD_REDIS_URL": redis_url,
            "TASKYARD_DIAGNOSTICS": "1",
            "TASKYARD_STANDING_SCHEDULES": "0",
            "TASKYARD_TASK_MODULES": "tests.support.effects",
            "TASKYARD_STORAGE_DIR": str(home / "storage"),
            "TASKYARD_TEMP_DIR": str(home / "temp"),
            "TASKYARD_SECRET_KEYS": Fernet.generate_key().decode(),
            "TASKYARD_BOOTSTRAP_KEY": KEY,
            "TASKYARD_METRICS_PORT": "0",
            "TASKYARD_API_PORT": str(self.port),
            "TASKYARD_LOG_FORMAT": "json",
            "TASKYARD_HEARTBEAT_SECONDS": "1",
            # Those that wait for its end set it to less. A busy machine holds a worker up for seconds, and each
            # effect is to happen once.
            "TASKYARD_WORKER_LEASE_SECONDS": "8",
            FILE_VARIABLE: str(self.effects),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.engine: Engine = ledger.make_engine(database_url, pool_size=2)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=30.0,
            verify=TLS,
        )

    # Processes

    def start_api(self) -> subprocess.Popen[bytes]:
        process = self._start_api()
        self._wait_api_ready()
        return process

    def start_all(self, *more: str, **options: Any) -> subprocess.Popen[bytes]:
        """An API, a scheduler and a worker at once, where none is to be there before another; returns the worker, whose
        options these are. All are ready."""
        self._start_api()
        self.start_scheduler()
        worker = self.start_worker(*more, **options)
        self._wait_api_ready()
        if options.get("has_types", True):
            self._wait_api_knows_types()
        return worker

    def _wait_api_knows_types(self) -> None:
        wait_for(self._api_knows_types, 30, "the API to know the worker's task types", every=0.1)

    def _api_knows_types(self) -> bool:
        """It learns within a second of types that have just been registered."""
        nobodys = {"name": "tests.nobody_has_it"}
        url, key = self.http.base_url.join("tasks"), self.http.headers["Authorization"]
        try:
            answer = httpx.post(url, json=nobodys, headers={"Authorization": key}, timeout=5.0, verify=TLS)
        except httpx.HTTPError:
            return False
        return "no_task_types" not in answer.text

    def _start_api(self) -> subprocess.Popen[bytes]:
        process = self.start("taskyard-api", "serve")
        self._make_first_key()
        return process

    def _wait_api_ready(self) -> None:
        wait_for(self._api_is_ready, 60, "the API to be ready", every=0.05)

    def _api_is_ready(self) -> bool:
        return answers(f"http://127.0.0.1:{self.port}/health/ready")

    def _make_first_key(self) -> None:
        """As `taskyard-api keys bootstrap` does it; the command itself is tested in integration/api/test_service.py."""
        key = read_key(KEY)

        def make(conn: sa.Connection) -> None:
            if api_keys.lock_for_bootstrap(conn):
                api_keys.create(conn, name="bootstrap", prefix=key.prefix, digest=key.digest, scopes=["admin"])

        ledger.run_transaction(self.engine, make)

    def start_worker(
        self, *more: str, queues: str = "default", processes: int | str = 1, threads: int = 4, has_types: bool = True
    ) -> subprocess.Popen[bytes]:
        """`processes`: a number, or MIN:MAX. `has_types`: it registers task types, which is waited for."""
        before, types_before = self.workers(), self.workers_with_types()
        process = self.start(
            "taskyard-worker", "run", "--queues", queues, "--processes", str(processes),
            "--threads", str(threads), *more,
            TASKYARD_HEALTH_FILE=str(self.home / f"worker-{len(self.processes)}.alive"),
        )  # fmt: skip
        wait_for(lambda: self.workers() > before, 60, "the worker to register")
        if has_types:
            wait_for(lambda: self.workers_with_types() > types_before, 60, "the worker's task types")
            if self._api_is_ready():
                self._wait_api_knows_types()
        first = int(str(processes).partition(":")[0])
        wait_for(lambda: len(children(process.pid)) == first, 30, "the worker's children")
        return process

    def start_scheduler(self, **more: str) -> subprocess.Popen[bytes]:
        return self.start(
            "taskyard-scheduler", "run",
            TASKYARD_HEALTH_FILE=str(self.home / f"scheduler-{len(self.processes)}.alive"), **more,
        )  # fmt: skip

    def start(self, command: str, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        log = (self.home / f"{len(self.processes)}-{command}.log").open("wb")
        process = subprocess.Popen(
            [_BIN / command, *arguments],
            env={**self.environment, **more}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def stop(self) -> None:
        self.http.close()
        self.engine.dispose()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)

    def logs(self) -> str:
        return "\n".join(f"== {p.name}\n{p.read_text()}" for p in sorted(self.home.glob("*.log")))

    def scheduler_metrics(self) -> dict[str, float]:
        """Of the scheduler that was started last."""
        log = max(self.home.glob("*-taskyard-scheduler.log"), key=lambda path: int(path.name.partition("-")[0]))
        address = re.compile(r'"metrics": ?"(http[^"]+)"')
        found = wait_for(lambda: address.findall(log.read_text()), 30, "the scheduler to tell where its metrics are")
        return metrics_of(found[0])

    # Work

    def submit(self, name: str, params: dict[str, Any] | None = None, **more: Any) -> str:
        answer = self._post("/tasks", {"name": name, "params": params or {}, **more})
        return str(answer.json()["id"])

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """The API learns within a second of types that have just been registered."""
        deadline = time.monotonic() + 30.0
        while "no_task_types" in (answer := self.http.post(path, json=body)).text and time.monotonic() < deadline:
            time.sleep(0.2)
        assert answer.status_code == 202, answer.text
        return answer

    def submit_many(self, count: int, name: str, params: dict[str, Any] | None = None) -> list[str]:
        ids: list[str] = []
        for start in range(0, count, 500):
            batch = [{"name": name, "params": params or {}}] * min(500, count - start)
            answer = self._post("/tasks/batch", {"tasks": batch})
            ids += [item["id"] for item in answer.json()["items"]]
        return ids

    # The ledger

    def query(self, statement: str, **params: Any) -> Sequence[sa.Row[Any]]:
        return ledger.run(self.engine, lambda conn: conn.execute(sa.text(statement), params).all())

    def states(self, ids: Sequence[str]) -> Counter[str]:
        rows = self.query(
            "SELECT state, count(*) AS n FROM task WHERE id = ANY(:ids) GROUP BY state",
            ids=[UUID(i) for i in ids],
        )
        return Counter({r.state: r.n for r in rows})

    def task(self, task_id: str) -> sa.Row[Any]:
        return self.query("SELECT * FROM task WHERE id = :id", id=UUID(task_id))[0]

    def attempts(self, task_id: str) -> Sequence[sa.Row[Any]]:
        return self.query("SELECT * FROM task_attempt WHERE task_id = :id ORDER BY id", id=UUID(task_id))

    def workers(self) -> int:
        """How many have ever registered."""
        return int(self.query("SELECT count(*) AS n FROM worker")[0].n)

    def workers_with_types(self) -> int:
        """How many have ever registered their task types."""
        return int(self.query("SELECT count(DISTINCT worker_id) AS n FROM worker_type")[0].n)

    def quick_from_now_on(self) -> None:
        """What runs now takes as long as it was told to; its next attempts take no time."""
        self.query("UPDATE task SET params = '{}' WHERE name = 'tests.effect' RETURNING id")

    def wait_state(self, task_id: str, *states: str, seconds: float = 20) -> None:
        try:
            wait_for(lambda: self.task(task_id).state in states, seconds, f"{task_id} to be {states}")
        except AssertionError as e:
            outbox = self.query("SELECT count(*) AS n FROM outbox")[0].n
            raise AssertionError(f"{e}\n{self.task(task_id)}\noutbox rows: {outbox}\n{self.logs()[-6000:]}") from None

    def wait_final(self, ids: Sequence[str], seconds: float) -> Counter[str]:
        """Waits until all are final and checks the books: submitted = succeeded + failed + cancelled."""
        deadline = time.monotonic() + seconds
        while True:
            states = self.states(ids)
            if set(states) <= FINAL and states.total() == len(ids):
                return states
            assert time.monotonic() < deadline, f"after {seconds} s: {states}\n{self.logs()[-6000:]}"
            time.sleep(0.05)


def offspring(pid: int) -> list[int]:
    """The processes of which a process is the parent (Linux)."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """Of a worker: its child processes, without their template, and without those that are just being started."""
    others = {TEMPLATE, _name(pid)}
    return [child for child in offspring(pid) if _name(child) not in others]


def template_of(pid: int) -> int | None:
    """The process that a worker's children are forked from."""
    return next((child for child in offspring(pid) if _name(child) == TEMPLATE), None)


def _name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def wait_for(condition: Callable[[], T], seconds: float = 15, what: str = "it to happen", *, every: float = 0.02) -> T:
    """The first true answer of `condition`, which is asked every `every` seconds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(every)
    return answer


def once_within(seconds: float, attempt: Callable[[], float], what: str, *, tries: int = 3) -> None:
    """`attempt` tells how many seconds something took. One that takes no longer is enough: a busy machine holds up any,
    and what is always late is late each time."""
    took: list[float] = []
    while not took or took[-1] > seconds:
        assert len(took) < tries, f"{what} within {seconds:g} s: {took}"
        took.append(attempt())


def seconds_until(condition: Callable[[], object], what: str, most: float = 30) -> float:
    """How long it takes, of `most` seconds."""
    began = time.monotonic()
    wait_for(condition, most, what)
    return time.monotonic() - began


@contextmanager
def repeating(turn: Callable[[], object], *, every: float, threads: int = 1) -> Iterator[None]:
    """Until the block ends, threads call `turn` again and again, with a pause of `every` seconds before each time."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every):
            turn()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in running:
            thread.join()


def metrics_of(url: str) -> dict[str, float]:
    """Ours, by name and labels."""
    said = httpx.get(url, timeout=30.0, verify=TLS).text
    return {name: float(value) for name, value in re.findall(r"^(taskyard_\S+) (\S+)$", said, re.MULTILINE)}


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0, verify=TLS).status_code == 200
    except httpx.HTTPError:
        return False


_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody else is given for as long as this process lives: a bound socket that does not listen keeps it
    from those who ask for any, and not from a server that asks for this one."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    _reserved.append(keeper)
    atexit.register(keeper.close)
    return int(keeper.getsockname()[1])
