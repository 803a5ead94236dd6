"""The whole platform on one machine, for development: started, kept running, stopped in order."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType

import httpx

from taskyard import addresses
from taskyard.environment import env_file, read_env_file
from taskyard_dev import home, keys, layout, ports, web
from taskyard_dev.console import Console
from taskyard_dev.errors import PortTaken, ServerAway, ServiceFailed, StackError
from taskyard_dev.introduction import introduce
from taskyard_dev.layout import Plan
from taskyard_dev.registered import NewWorkers
from taskyard_dev.server import Server
from taskyard_dev.servers import Postgres, Valkey
from taskyard_dev.service import Restarts, Service
from taskyard_dev.smtp_sink import smtp_sink

READY_WITHIN = timedelta(seconds=60)


@dataclass
class Stop:
    """Set by signals: `asked` by the first, `hurry` by the second."""

    asked: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)


@dataclass
class ServerWatch:
    """Restarts a server that ends on its own, on the same port and with the same data."""

    name: str
    server: Server
    console: Console
    _restarts: Restarts = field(default_factory=Restarts)
    _start_at: float = 0.0

    def tend(self) -> None:
        if self.server.pid is not None or time.monotonic() < self._start_at:
            return
        self.console.line(self.name, "ended on its own; starting it again")
        self._start_at = time.monotonic() + self._restarts.next_pause().total_seconds()
        self._restarts.began()
        try:
            self.server.start()
        except StackError as error:
            self.console.line(self.name, str(error))


@dataclass
class Stack:
    """The running servers and services."""

    console: Console
    stop: Stop
    servers: list[ServerWatch] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)

    def start(self, services: list[Service]) -> None:
        self.services = services
        for service in services:
            service.start()

    def add(self, service: Service) -> None:
        self.services = [*self.services, service]
        service.start()

    def wait_ready(self, url: str, workers: NewWorkers) -> bool:
        """Wait for the API, and until the workers have registered their task types: before, a submit would be refused.

        `False` where a signal came first. Raises `ServiceFailed` after a minute.
        """
        count = sum(service.name.startswith("worker") for service in self.services)
        return self._wait_until(lambda: _is_ready(url), "the API isn't ready") and self._wait_until(
            lambda: workers.are_there(count), "the workers haven't registered their task types"
        )

    def _wait_until(self, condition: Callable[[], bool], otherwise: str) -> bool:
        deadline = time.monotonic() + READY_WITHIN.total_seconds()
        while not self.stop.asked.wait(0.05):
            self._tend()
            if condition():
                return True
            if time.monotonic() > deadline:
                ended = ", ".join(service.name for service in self.services if service.ends)
                hint = f"; ended on their own: {ended}" if ended else ""
                raise ServiceFailed(f"{otherwise} after {READY_WITHIN.total_seconds():g} s{hint}")
        return False

    def tend_until_stopped(self) -> None:
        """Restart what ends on its own, until a signal comes."""
        while not self.stop.asked.wait(0.2):
            self._tend()

    def shut_down(self, *kinds: str) -> None:
        """Those of each kind at once, one kind after the other."""
        for kind in kinds:
            group = [service for service in self.services if service.name.startswith(kind)]
            for service in group:
                service.ask_to_stop()
            for service in group:
                service.wait_stopped(self.stop.hurry)

    def _tend(self) -> None:
        for server in self.servers:
            server.tend()
        for service in self.services:
            service.tend()


def run(plan: Plan, console: Console) -> None:
    """Start everything, print the addresses, and keep it running until a signal comes.

    Raises `StackError` where that is not possible; what was started is stopped first.
    """
    begun = time.monotonic()
    try:
        home.make_directory(plan.data_dir)
    except OSError as error:
        raise StackError(f"{error.filename}: {error.strerror}; choose another TASKYARD_DATA_DIR") from error
    console.names(*plan.names)
    before = read_env_file(plan.dev_env)
    with _signals() as stop, ExitStack() as exits:
        stack = Stack(console, stop)
        database_url, task_url, redis_url = _servers(plan, stack, exits)
        # Mails may be confidential.
        plan.mails.mkdir(mode=0o700, exist_ok=True)
        free = exits.enter_context(layout.Ports())
        sink = exits.enter_context(smtp_sink(plan.mails, port=free.one_of(1025)))
        _migrate(database_url, task_url)

        # It listens from now on, and the API inherits it: nothing else can answer at this address, not even while
        # the API is started again.
        listener = _listening(layout.api_port(plan, before, free))
        api_port = listener.getsockname()[1]
        # The other way round: first the API, which accepts work; then the schedulers, which hand it out; then the
        # workers.
        exits.callback(stack.shut_down, "scheduler", "worker")
        exits.enter_context(listener)
        exits.callback(stack.shut_down, "console", "api")
        common = layout.environment(plan, database_url, redis_url)
        tasks = {"TASKYARD_TASK_DATABASE_URL": task_url} if task_url else {}
        mail = layout.mail_environment(sink)
        of_workers = {**mail, **tasks}
        # In files for their owner only: they hold passwords and an admin key. This one before the services start: they
        # read it, too, and what a run before was given is not for them.
        shared = layout.shared_with_commands(common) | {name: value for name, value in of_workers.items() if value}
        home.write_private(plan.services_env, env_file(shared))
        workers = NewWorkers(database_url)
        stack.start(layout.services(plan, common, of_workers, free, console=console, api=listener.fileno()))
        url = f"http://{ports.LOOPBACK}:{api_port}"
        if stack.wait_ready(url, workers):
            metrics = {service.name: layout.metrics_url(service) for service in stack.services}
            env = {
                "TASKYARD_URL": url,
                "TASKYARD_API_KEY": keys.ensure(before.get("TASKYARD_API_KEY", ""), url, common),
                "TASKYARD_DATABASE_URL": database_url,
                "TASKYARD_REDIS_URL": redis_url,
                "TASKYARD_API_METRICS_URL": metrics["api"],
                "TASKYARD_WORKER_METRICS_URL": metrics[plan.worker_names[0]],
                "TASKYARD_SCHEDULER_METRICS_URL": metrics[plan.scheduler_names[0]],
                "TASKYARD_SMTP_SINK_DIR": str(plan.mails),
                # Where commands find the settings of the services, in whatever directory they are started.
                "TASKYARD_DATA_DIR": str(plan.data_dir.resolve()),
            }
            if plan.has_console:
                own = web.variables(plan, before, free, url, common)
                stack.add(web.service(plan, common, own, free, url, console))
                env |= own
            home.write_private(plan.dev_env, env_file(env))
            mails = layout.mails_of(mail, plan)
            introduce(
                url,
                env["TASKYARD_API_KEY"],
                plan,
                stack.services,
                {server.name: server.server.data for server in stack.servers},
                mails=mails,
                seconds=time.monotonic() - begun,
                console=console,
            )
        stack.tend_until_stopped()
        console.say("\nstopping; once more Ctrl-C kills what is still at work")
    console.say(f"stopped; the data stays in {plan.data_dir}")


def _servers(plan: Plan, stack: Stack, exits: ExitStack) -> tuple[str, str | None, str]:
    """Start the embedded servers, except where the environment names another server.

    The addresses of PostgreSQL, of PostgreSQL for tasks, and of Redis. A user's own server has a role for tasks where
    the environment names one.
    """
    postgres, valkey = Postgres(plan.data_dir / "postgres"), Valkey(plan.data_dir / "valkey")
    database_url = elsewhere("TASKYARD_DATABASE_URL", postgres.directory)
    redis_url = elsewhere("TASKYARD_REDIS_URL", valkey.directory)
    if redis_url is None:
        exits.enter_context(valkey)
        stack.servers.append(ServerWatch("valkey", valkey, stack.console))
        redis_url = valkey.url
    if database_url is None:
        exits.enter_context(postgres)
        stack.servers.append(ServerWatch("postgres", postgres, stack.console))
        return postgres.url(), postgres.task_url(), redis_url
    return addresses.database_url(database_url), os.environ.get("TASKYARD_TASK_DATABASE_URL") or None, redis_url


def elsewhere(variable: str, directory: Path) -> str | None:
    """The user's own server that the environment names, if any.

    An address with the password in `directory` is that of the embedded server: dev.env was sourced, perhaps when it
    listened on another port. dev.env itself is no evidence: after a start with the user's own server, it names that
    one.
    """
    value = os.environ.get(variable)
    try:
        password = (directory / "password").read_text().strip()
    except FileNotFoundError:
        return value or None
    return None if not value or password in value else value


def _migrate(database_url: str, task_url: str | None) -> None:
    """Raises `ServerAway`, and `StackError` where tasks cannot have their role."""
    # Late: Alembic takes a third of a second to import, and `--help` should not wait for it.
    from sqlalchemy.exc import DBAPIError

    from taskyard.store import migrate, task_role_grants

    try:
        migrate.upgrade(database_url)
        if task_url:
            task_role_grants.prepare(database_url, addresses.database_url(task_url))
    except task_role_grants.RoleUnusable as error:
        raise StackError(str(error)) from error
    except DBAPIError as error:
        said = str(error.orig).splitlines()[0]
        if os.environ.get("TASKYARD_DATABASE_URL"):
            said += "; without TASKYARD_DATABASE_URL the stack has its own"
        raise ServerAway(f"PostgreSQL can't be used: {said}") from error


def _is_ready(url: str) -> bool:
    try:
        # Without the environment: a proxy named there does not reach this machine.
        return httpx.get(f"{url}/health/ready", timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _listening(port: int) -> socket.socket:
    """Raises `PortTaken`."""
    try:
        return socket.create_server((ports.LOOPBACK, port), backlog=2048)
    except OSError as error:
        raise PortTaken(f"port {port} on {ports.LOOPBACK} is taken") from error


@contextmanager
def _signals() -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and a hang-up stop the stack in order instead of interrupting it."""
    stop = Stop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        (stop.hurry if stop.asked.is_set() else stop.asked).set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    # Under nohup a hang-up is ignored, and has to stay so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    earlier = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
