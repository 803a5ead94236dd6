"""The drills do what they say."""

import ctypes
import itertools
import os
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

import pytest

from taskyard.domain.tasks import Failed, RetryIn, Succeeded
from taskyard.running.trial import NotAdmitted, TaskRun, run_task
from tests.support.fleet import wait_for


def run(name: str, params: dict[str, Any], attempt: int = 1) -> TaskRun:
    return run_task(f"diagnostics.{name}", params, attempt=attempt)


@pytest.mark.parametrize("value", [None, 1, "ü", [1, {"a": [None]}], {"": ""}])
def test_echo_returns_its_value(value: object) -> None:
    assert run("echo", {"value": value}).result == {"value": value}


def test_sleep_sleeps() -> None:
    started = time.monotonic()
    run("sleep", {"seconds": 0.12})
    assert 0.12 <= time.monotonic() - started < 10


def holds_the_gil(in_c: bool) -> bool:
    beats: list[float] = []
    stop = threading.Event()

    def beat() -> None:
        while not stop.is_set():
            beats.append(time.monotonic())
            time.sleep(0.005)

    thread = threading.Thread(target=beat)
    thread.start()
    time.sleep(0.05)
    run("sleep", {"seconds": 0.5, "in_c": in_c})
    stop.set()
    thread.join()
    return max(b - a for a, b in itertools.pairwise(beats)) > 0.4


def test_sleep_in_c_holds_the_gil_and_the_other_does_not() -> None:
    assert holds_the_gil(in_c=True)
    # Whoever shares this machine may hold one of them up.
    assert not all(holds_the_gil(in_c=False) for _ in range(3))


def sleeps(thread: threading.Thread) -> bool:
    """Whether it has come to where the task sleeps."""
    frame = sys._current_frames().get(thread.ident or 0)
    names = {f.f_code.co_name for f, _ in traceback.walk_stack(frame)} if frame is not None else set()
    return "_sleep_in_slices" in names


def test_an_interrupt_from_outside_reaches_a_sleeping_task() -> None:
    runs: list[TaskRun] = []
    thread = threading.Thread(target=lambda: runs.append(run("sleep", {"seconds": 30})))
    thread.start()
    wait_for(lambda: sleeps(thread), 10, "it to sleep")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeoutError))
    thread.join(10)
    assert not thread.is_alive()
    assert not isinstance(runs[0].outcome, Succeeded)


def test_fail_fails_so_many_times() -> None:
    first = run("fail", {"times": 2, "kind": "transient"})
    assert isinstance(first.outcome, RetryIn)
    assert first.outcome.delay.total_seconds() <= 0.2
    assert isinstance(run("fail", {"times": 2}, attempt=2).outcome, RetryIn)
    assert run("fail", {"times": 2}, attempt=3).result == {"attempt": 3}


def test_a_permanent_failure_is_not_tried_again() -> None:
    outcome = run("fail", {"times": 1, "kind": "permanent"}).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.retryable) == ("diagnostic_permanent", False)


@pytest.mark.parametrize(("given", "number"), [("SIGKILL", 9), ("ABRT", 6), (11, 11)])
def test_crash_kills_its_process(given: object, number: int) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
        "from taskyard.running.trial import run_task;"
        f"run_task('diagnostics.crash', {{'signal': {given!r}, 'times': 1}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=dict(os.environ))
    assert done.returncode == -number


def test_crash_stops_crashing() -> None:
    assert run("crash", {"times": 2, "signal": "SIGKILL"}, attempt=3).result == {"attempt": 3}


@pytest.mark.parametrize("given", ["SIGSTOP", 19, 0, 1, -9, True, "", None, "sigkill", 9.5])
def test_other_signals_are_refused(given: object) -> None:
    with pytest.raises(NotAdmitted):
        run("crash", {"signal": given, "times": 0})


_ALLOCATES = """
import threading, psutil
from taskyard.running.trial import run_task

process = psutil.Process()
run_task("diagnostics.echo", {"value": None})  # imports what a task needs
before = most = process.memory_info().rss
given = {"megabytes": 100, "hold_seconds": 0.5}
thread = threading.Thread(target=run_task, args=("diagnostics.allocate", given))
thread.start()
while thread.is_alive():
    most = max(most, process.memory_info().rss)
    thread.join(0.02)
assert most - before > 90 * 2**20, most - before
after = process.memory_info().rss - before
assert after < 50 * 2**20, after
"""


def test_allocate_takes_real_memory() -> None:
    # In a process of its own: what earlier tests left in this one may be given back at any time.
    done = subprocess.run([sys.executable, "-c", _ALLOCATES], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
