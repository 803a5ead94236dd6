"""Every page of the console before a ledger with a million tasks: its time next to that of its calls of the API.

A page is slow if it takes more than twice the time of its calls, both by the clock and in processor time (of console,
API and PostgreSQL together, beside that of API and PostgreSQL): by the clock, others may have used the machine; in
processor time, making the calls counts as the console's. A page whose own work is less than OWN_SECONDS is not held to
it: most lists cost the API three milliseconds, less than any page of their rows. The elapsed times are medians: the
page's as a reader has it, and of it the time in which at least one call was under way, as the console says in
`Server-Timing`. No scheduler runs meanwhile.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx2
from cryptography.fernet import Fernet

from benchmarks.checkout import Checkout, Stack
from benchmarks.console_ledger import Filled, fill
from benchmarks.console_pages import Address, addresses
from benchmarks.load import KEY, SINGLE
from benchmarks.processes import processor_seconds, running
from taskyard.settings import DEFAULT_QUEUES
from taskyard_client import Client
from tests.support.fleet import answers, free_port, wait_for

BAR = 2.0
LIVE_PAGES = 100
# Of a processor: so much a page may take by itself, whatever its calls take.
OWN_SECONDS = 0.01
# The clock of processor time ticks a hundred times a second.
_WARM_UP, _LEAST, _MOST, _SECONDS = 3, 10, 100, 1.0
_TIMING = re.compile(r'api;dur=([\d.]+);desc="(\d+)"')
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_CLIENTS = re.compile(r"^taskyard_sse_clients ([\d.]+)$", re.MULTILINE)
_FOR_SERVICES = ("TASKYARD_DATABASE_URL", "TASKYARD_REDIS_URL", "TASKYARD_SECRET_KEYS", "TASKYARD_STORAGE_DIR")


@dataclass(frozen=True)
class Measured:
    """Seconds a request: elapsed, in calls of the API, and of the processors."""

    address: Address
    calls: int
    page: float
    api: float
    console_processor: float
    api_processor: float

    @property
    def ratio(self) -> float:
        return (self.console_processor + self.api_processor) / self.api_processor

    @property
    def is_slow(self) -> bool:
        return min(self.ratio, self.page / self.api) > BAR and self.console_processor > OWN_SECONDS


@dataclass(frozen=True)
class Figures:
    pages: list[Measured]
    subscriptions: int

    @property
    def slow(self) -> list[str]:
        found = [f"{one.address.path}: {one.ratio:.2f}" for one in self.pages if one.is_slow]
        return found if self.subscriptions == 1 else [*found, f"{self.subscriptions} subscriptions"]


class Reader:
    """Signed in with the key of an administrator."""

    def __init__(self, stack: Stack, api: Popen[bytes], console: Popen[bytes], url: str) -> None:
        self._stack = stack
        self._api = api
        self._console = console
        self.http = httpx2.Client(base_url=url, timeout=60.0, trust_env=False)
        form = _CSRF.search(self.http.get("/sign-in").text)
        assert form is not None
        signed = self.http.post("/sign-in", data={"csrf": form[1], "key": KEY})
        assert signed.status_code == 303, signed.text

    def measure(self, address: Address) -> Measured:
        for _ in range(_WARM_UP):
            self._ask(address)
        asked: list[tuple[float, float, int]] = []
        before = self._processors()
        while len(asked) < _LEAST or (len(asked) < _MOST and sum(page for page, _, _ in asked) < _SECONDS):
            asked.append(self._ask(address))
        console, api = (after - now for after, now in zip(self._processors(), before, strict=True))
        return Measured(
            address,
            calls=asked[-1][2],
            page=statistics.median(page for page, _, _ in asked),
            api=statistics.median(api for _, api, _ in asked),
            console_processor=console / len(asked),
            api_processor=api / len(asked),
        )

    def _ask(self, address: Address) -> tuple[float, float, int]:
        started = time.perf_counter()
        answer = self.http.get(address.path)
        seconds = time.perf_counter() - started
        told = _TIMING.search(answer.headers.get("Server-Timing", ""))
        if answer.status_code != 200 or told is None:
            raise RuntimeError(f"{address.path}: {answer.status_code}\n{answer.text[:2000]}")
        return seconds, float(told[1]) / 1e3, int(told[2])

    def _processors(self) -> tuple[float, float]:
        postgres = self._stack.postgres.pid
        assert postgres is not None
        return processor_seconds(self._console.pid), processor_seconds(self._api.pid) + processor_seconds(postgres)

    def subscriptions(self, pages: int) -> int:
        """What so many live pages cost the API."""
        with ExitStack() as opened:
            # An iterator that ends closes its stream.
            streams = [opened.enter_context(self.http.stream("GET", "/live")).iter_bytes() for _ in range(pages)]
            for signals in streams:
                next(signals)
            metrics = httpx2.get(f"http://127.0.0.1:{self._stack.env['TASKYARD_METRICS_PORT']}/metrics", timeout=10)
        found = _CLIENTS.search(metrics.text)
        assert found is not None
        return round(float(found[1]))


def measure(checkout: Checkout, home: Path, *, rows: int, only: str = "") -> Figures:
    """`only`: the pages whose addresses have it."""
    with checkout.stack(home) as stack:
        for statement in ("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"):
            stack.conn.execute(statement)
        stack.env["TASKYARD_METRICS_PORT"] = str(free_port())
        with stack.api() as api, _console(stack) as (console, url):
            filled = _filled(stack, rows)
            reader = Reader(stack, api, console, url)
            pages = []
            for address in addresses(filled):
                if only in address.path:
                    print(f"console, {address.path}", file=sys.stderr, flush=True)
                    pages.append(reader.measure(address))
            return Figures(pages, reader.subscriptions(LIVE_PAGES))


def _filled(stack: Stack, rows: int) -> Filled:
    queues = ",".join(DEFAULT_QUEUES)
    live = "SELECT count(*) FROM worker WHERE stopped_at IS NULL AND lost_at IS NULL"
    command = [stack.checkout.command("taskyard-worker"), "run", "--queues", queues, "--processes", "1"]
    environment = {**stack.env, "TASKYARD_METRICS_PORT": "0"}
    with running(command, env=environment, ready=lambda: stack.query(live) == 1, log=stack.home / "worker.log"):
        wait_for(lambda: stack.accepts(SINGLE), 60, "the task types to be known", every=0.1)
    print(f"console, filling {rows:,} tasks", file=sys.stderr, flush=True)
    with Client(f"http://127.0.0.1:{stack.env['TASKYARD_API_PORT']}", KEY) as client:
        return fill(stack.conn, stack.postgres.url().replace("+psycopg", ""), client, rows)


@contextmanager
def _console(stack: Stack) -> Iterator[tuple[Popen[bytes], str]]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {name: value for name, value in stack.env.items() if name not in _FOR_SERVICES}
    environment |= {
        "TASKYARD_URL": f"http://127.0.0.1:{stack.env['TASKYARD_API_PORT']}",
        "TASKYARD_CONSOLE_PORT": str(port),
        "TASKYARD_CONSOLE_API_KEY": KEY,
        "TASKYARD_CONSOLE_SECRETS": Fernet.generate_key().decode(),
        "TASKYARD_METRICS_PORT": "0",
    }
    command = [stack.checkout.command("taskyard-console"), "serve"]
    ready = f"{url}/health/ready"
    with running(command, env=environment, ready=lambda: answers(ready), log=stack.home / "console.log") as process:
        yield process, url


def table(figures: Figures, rows: int) -> str:
    heads = ("page", "filters", "calls", "page", "in calls", "console", "API", "ratio")
    lines = [
        f"Pages of the console before {rows:,} tasks. In ms: a page and its calls, elapsed; the console, and the API",
        "with PostgreSQL, processor time, with the ratio of both to the latter.",
        "",
        _row(*heads),
        f"| {'-' * 26} | {'-' * 34} | {' | '.join(['------:'] * 6)} |",
    ]
    for one in figures.pages:
        times = (one.page, one.api, one.console_processor, one.api_processor)
        shown = [f"{seconds * 1e3:.1f}" for seconds in times]
        lines.append(_row(one.address.page, one.address.said, str(one.calls), *shown, f"{one.ratio:.2f}"))
    return "\n".join(
        [*lines, "", f"{LIVE_PAGES} live pages: {figures.subscriptions} subscription to the API's events."]
    )


def _row(page: str, said: str, *figures: str) -> str:
    return f"| {page:<26} | {said:<34} | {' | '.join(f'{figure:>7}' for figure in figures)} |"
