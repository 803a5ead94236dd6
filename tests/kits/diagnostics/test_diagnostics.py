"""The drills do what they say."""

import ctypes
import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

import psutil
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


def test_allocate_takes_real_memory() -> None:
    process = psutil.Process()
    gc.collect()  # what earlier tests left is not given back in the middle
    before = process.memory_info().rss
    thread = threading.Thread(target=run, args=("allocate", {"megabytes": 100, "hold_seconds": 0.5}))
    thread.start()
    most = before
    while thread.is_alive():
        most = max(most, process.memory_info().rss)
        time.sleep(0.02)
    assert most - before > 90 * 2**20
    assert process.memory_info().rss - before < 50 * 2**20
