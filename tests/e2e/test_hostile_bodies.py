"""What a stranger sends costs the API no more than its length: processor time, the event loop, memory."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from taskyard_api.bodies import LARGE_BYTES, READ_BYTES, SMALL_BYTES
from tests.integration.api.conftest import new_key
from tests.support import hostile_bodies as hostile
from tests.support.cases import one_in
from tests.support.fleet import Fleet, once_within
from tests.support.specs import register_kits

MIB = 1024**2
BODY_MEMORY = READ_BYTES + SMALL_BYTES + LARGE_BYTES  # no type of the kits has large defaults
# What docker-compose.yml gives the API.
CONTAINER_BYTES = 512 * MIB
# Measured: 25 at most. A batch of addresses took 1,100 before lengths were looked at first.
MULTIPLE = 80
# Compiling a pattern takes RE2 up to three milliseconds; those of a request together have three quarters of a second.
MULTIPLE_OF_PATTERNS = 1_500


class HostileApi:
    """An API process, and what it costs."""

    def __init__(self, fleet: Fleet) -> None:
        register_kits(fleet.engine)
        self.fleet = fleet
        self.pid = fleet.start_api().pid
        self.key = new_key(fleet.engine, "submit", name="stranger")
        assert self.post(hostile.tasks(1, hostile.echo)).status_code == 202

    def post(self, body: bytes, *, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.fleet.port}/api/v1/tasks/batch"
        return httpx.post(url, content=body, headers=headers, timeout=120, trust_env=False)

    def processor_seconds(self) -> float:
        """Of all its threads, in nanoseconds' steps: /proc/PID/stat has hundredths of a second only."""
        spent = (path.read_text().split()[0] for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat"))
        return sum(map(int, spent)) / 1e9

    def cost(self, body: bytes) -> tuple[float, int]:
        """Seconds of processor time, and the status."""
        before = self.processor_seconds()
        status = self.post(body).status_code
        return self.processor_seconds() - before, status

    def memory(self, what: str) -> int:
        found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def longest_pause(self, body: bytes) -> float:
        """The longest time without an answer to /health/live while the body is looked at, which is refused."""
        with self._asked_whether_it_lives() as answers:
            began = time.perf_counter()
            assert self.post(body).status_code == 422
            ended = time.perf_counter()
        times = [began, *(at for at in answers if began < at < ended), ended]
        return max(later - earlier for earlier, later in pairwise(times))

    @contextmanager
    def _asked_whether_it_lives(self) -> Iterator[list[float]]:
        """Asks again and again; the list holds when it answered."""
        answers: list[float] = []
        ended = threading.Event()

        def ask() -> None:
            url = f"http://127.0.0.1:{self.fleet.port}"
            with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
                while not ended.wait(0.001):
                    client.get("/health/live")
                    answers.append(time.perf_counter())

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield answers
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def api(fleet: Fleet) -> HostileApi:
    return HostileApi(fleet)


def test_the_worst_bodies_cost_a_bounded_multiple_of_plain_text_of_their_length(api: HostileApi) -> None:
    smallest = min(api.cost(hostile.plain_text(100))[0] for _ in range(5))
    a_byte = min(api.cost(hostile.plain_text(hostile.LIMIT))[0] for _ in range(3)) / hostile.LIMIT

    def multiple(body: bytes) -> float:
        seconds, status = api.cost(body)
        assert status in {400, 422}
        return seconds / (smallest + a_byte * len(body))

    found = {name: multiple(body) for name, body in hostile.refused()}
    assert {name: times for name, times in found.items() if times > MULTIPLE} == {}
    assert multiple(hostile.costly_patterns()) < MULTIPLE_OF_PATTERNS


@pytest.mark.parametrize(
    "body",
    one_in(
        2,
        [
            pytest.param(hostile.costly_patterns(), id="patterns"),
            pytest.param(hostile.costly_patterns(220), id="patterns of a small body"),
            pytest.param(
                hostile.tasks(1000, lambda n: hostile.lines(f"(?i){n}" + r"\pL" * 98)), id="classes of Unicode"
            ),
            pytest.param(
                hostile.tasks(30, lambda n: hostile.mail(to_email=f"a@{hostile.letters(n, 1000)}.c")), id="long"
            ),
            pytest.param(
                hostile.tasks(999, lambda n: hostile.mail(to_email=f"a@{hostile.letters(n, 310)}.c")), id="many"
            ),
        ],
    ),
)
def test_the_event_loop_goes_on_while_a_batch_is_looked_at(api: HostileApi, body: bytes) -> None:
    text = max(api.longest_pause(hostile.plain_text(hostile.LIMIT)) for _ in range(3))
    once_within(5 * text, lambda: api.longest_pause(body), "no pause longer than those beside plain text")


@pytest.mark.long
def test_refused_bodies_stay_within_the_memory_that_is_stated(api: HostileApi) -> None:
    bodies = dict(hostile.refused())
    at_rest = api.memory("VmRSS")
    for body in bodies.values():
        assert api.post(body).status_code in {400, 422}
    assert api.memory("VmHWM") - at_rest < BODY_MEMORY
    worst = ["16 MiB of lists", "texts up to the bound", "nested as deeply as it can be", "wide text", "long names"]
    with ThreadPoolExecutor(15) as callers:
        statuses = set(callers.map(lambda name: api.post(bodies[name]).status_code, worst * 3))
    assert statuses <= {422, 503}
    assert api.memory("VmHWM") - at_rest < BODY_MEMORY
    assert api.memory("VmRSS") - at_rest < BODY_MEMORY / 2, "it is given back"


def test_accepted_batches_of_16_mib_fit_into_the_container_several_at_once(api: HostileApi) -> None:
    wide = hostile.tasks(64, lambda n: hostile.echo("😀" + "a" * 260_000))
    plain = hostile.tasks(64, lambda n: hostile.echo("a" * 260_000))
    many = hostile.thousand_tasks_of_200_parameters()
    with ThreadPoolExecutor(9) as callers:
        statuses = list(callers.map(lambda body: api.post(body).status_code, [wide, plain, many] * 3))
    assert set(statuses) <= {202, 503}
    assert 202 in statuses
    assert api.memory("VmHWM") < CONTAINER_BYTES


def test_a_caller_whose_bodies_never_end_leaves_room_for_others(api: HostileApi) -> None:
    slow = [_begin_a_body(api) for _ in range(6)]
    try:
        time.sleep(0.2)
        other = new_key(api.fleet.engine, "submit", name="other")
        assert api.post(hostile.thousand_tasks_of_200_parameters(), key=other).status_code == 202
        assert api.post(hostile.tasks(1, hostile.echo)).status_code == 202, "what is small needs no turn"
    finally:
        for wire in slow:
            wire.close()


def _begin_a_body(api: HostileApi) -> socket.socket:
    head = (
        "POST /api/v1/tasks/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {api.key}\r\nContent-Length: {hostile.LIMIT}\r\n\r\n"
    )
    wire = socket.create_connection(("127.0.0.1", api.fleet.port), timeout=10)
    wire.sendall(head.encode() + b'{"tasks":[')
    return wire


def _pointers(answer: httpx.Response) -> list[Any]:
    return [error["pointer"] for error in answer.json()["errors"]]


def test_a_thousand_tasks_of_200_parameters_pass_and_more_values_do_not(api: HostileApi) -> None:
    assert api.post(hostile.thousand_tasks_of_200_parameters()).status_code == 202
    more = hostile.tasks(1000, lambda n: hostile.echo({f"p{k}": f"value {k}" for k in range(250)}))
    answer = api.post(more)
    assert (answer.status_code, answer.json()["code"], _pointers(answer)) == (422, "too_many_values", [""])
