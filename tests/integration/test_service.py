"""A service of the development stack is kept running, and stopped on request."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from taskyard_dev import processes
from taskyard_dev.console import Console
from taskyard_dev.service import Restarts, Service
from tests.support.fleet import wait_for

NO_HURRY = threading.Event()


class Started:
    """Makes services that run a piece of Python, and stops what is left of them."""

    def __init__(self) -> None:
        self.said = io.StringIO()
        self.console = Console(self.said)
        self.console.names("worker")
        self.services: list[Service] = []

    def __call__(self, code: str, *, stop_within: float = 5) -> Service:
        service = Service(
            "worker",
            [sys.executable, "-u", "-c", code],
            {"PATH": "/usr/bin:/bin"},
            self.console,
            stop_within=timedelta(seconds=stop_within),
        )
        self.services.append(service)
        service.start()
        return service

    def lines(self) -> list[str]:
        return self.said.getvalue().splitlines()


@pytest.fixture
def started() -> Iterator[Started]:
    made = Started()
    yield made
    hurry = threading.Event()
    hurry.set()
    for service in made.services:
        service.wait_stopped(hurry)


def test_its_lines_carry_its_name(started: Started) -> None:
    started("import sys; print('out'); print('err', file=sys.stderr); import time; time.sleep(60)")
    wait_for(lambda: len(started.lines()) == 2)
    assert sorted(started.lines()) == ["worker | err", "worker | out"]


def test_a_service_that_ends_is_restarted_and_the_reason_is_shown(started: Started) -> None:
    service = started("import time; time.sleep(60)")
    first = service.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    def back() -> bool:
        service.tend()
        return service.pid not in {None, first}

    wait_for(back)
    assert service.ends == 1
    assert any("was killed by SIGKILL; starting it again in 0.5 s" in line for line in started.lines())


def test_pauses_grow_to_half_a_minute_and_start_over_after_a_stable_run() -> None:
    now = 0.0
    restarts = Restarts(clock=lambda: now)
    pauses = []
    for _ in range(8):
        restarts.began()
        pauses.append(restarts.next_pause().total_seconds())
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    restarts.began()
    now += 61
    assert restarts.next_pause().total_seconds() == 0.5


def test_it_may_finish_what_it_does_before_it_stops(started: Started, tmp_path: Path) -> None:
    service = started(
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n"
        "    time.sleep(0.3)\n"
        f"    pathlib.Path({str(tmp_path / 'finished')!r}).touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready')\n"
        "time.sleep(60)\n"
    )
    wait_for(lambda: "worker | ready" in started.lines())
    service.ask_to_stop()
    service.wait_stopped(NO_HURRY)
    assert (tmp_path / "finished").exists()
    assert service.pid is None


@pytest.mark.parametrize("hurried", [False, True], ids=["its time is over", "in a hurry"])
def test_one_that_will_not_stop_is_killed_with_its_children(started: Started, hurried: bool) -> None:
    service = started(
        "import signal, subprocess, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('child', subprocess.Popen(['sleep', '60']).pid)\n"
        "time.sleep(60)\n",
        stop_within=60 if hurried else 0.3,
    )
    wait_for(started.lines)
    child, hurry = int(started.lines()[0].split()[-1]), threading.Event()
    if hurried:
        hurry.set()
    service.ask_to_stop()
    begun = time.monotonic()
    service.wait_stopped(hurry)
    assert time.monotonic() - begun < 20
    wait_for(lambda: not processes.alive(child), 20)


def test_children_left_behind_by_one_that_stopped_are_ended(started: Started) -> None:
    service = started("import subprocess; print(subprocess.Popen(['sleep', '60']).pid)")
    wait_for(started.lines)
    child = int(started.lines()[0].split()[-1])
    service.ask_to_stop()
    service.wait_stopped(NO_HURRY)
    wait_for(lambda: not processes.alive(child), 20)
