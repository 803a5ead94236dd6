"""diagnostics.*: known behaviour, for drills and benchmarks."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from datetime import timedelta

from taskyard import TaskContext, TaskError, task
from taskyard.domain.retry import FINAL_RULES, RetryPolicy, RetryRule

from .declarations import (
    MAX_SECONDS_IN_C,
    AllocateParams,
    AllocateResult,
    AttemptResult,
    CrashParams,
    EchoParams,
    EchoResult,
    FailParams,
    SleepParams,
    SleepResult,
)
from .words import FAIL_ERRORS

# Drills wait for their retries, so these come soon.
_QUICK = RetryPolicy(
    retries=5,
    first_delay=timedelta(milliseconds=200),
    max_delay=timedelta(seconds=2),
    jitter=False,
    rules=FINAL_RULES,
)
_FAIL_RULES = (
    RetryRule("transient", codes=("diagnostic_transient",)),
    RetryRule("permanent", codes=("diagnostic_permanent",), retried=False),
)
# An exception that is raised into a thread from outside arrives when the thread runs Python again.
_SLICE_SECONDS = 0.05
_BLOCK_BYTES = 16 * 2**20


@task("diagnostics.echo", retry=_QUICK)
def echo(params: EchoParams, *, context: TaskContext) -> EchoResult:
    """Returns its value."""
    return EchoResult(value=params.value)


@task("diagnostics.sleep", retry=_QUICK)
def sleep(params: SleepParams, *, context: TaskContext) -> SleepResult:
    """Sleeps."""
    started = time.monotonic()
    if params.in_c:
        _sleep_holding_the_gil(min(params.seconds, MAX_SECONDS_IN_C))
    else:
        _sleep_in_slices(params.seconds, context)
    return SleepResult(slept_seconds=round(time.monotonic() - started, 3))


@task("diagnostics.fail", retry=_QUICK, rules=_FAIL_RULES, errors=FAIL_ERRORS)
def fail(params: FailParams, *, context: TaskContext) -> AttemptResult:
    """Fails so many attempts, then succeeds; a permanent failure is not tried again."""
    if context.attempt <= params.times:
        raise TaskError(f"diagnostic_{params.kind}", retryable=params.kind == "transient")
    return AttemptResult(attempt=context.attempt)


@task("diagnostics.crash", retry=_QUICK)
def crash(params: CrashParams, *, context: TaskContext) -> AttemptResult:
    """Kills its own process with a signal in so many attempts, then succeeds."""
    if context.attempt <= params.times:
        os.kill(os.getpid(), signal.Signals[params.signal])
        # Some signals have a handler that only asks the process to stop.
        _sleep_in_slices(30, context)
    return AttemptResult(attempt=context.attempt)


@task("diagnostics.allocate", retry=_QUICK)
def allocate(params: AllocateParams, *, context: TaskContext) -> AllocateResult:
    """Takes that much memory, writes to all of it, and gives it back."""
    held: list[bytearray] = []
    left = params.megabytes * 2**20
    while left > 0:
        context.check_cancelled()
        size = min(left, _BLOCK_BYTES)
        # Not zeros: the kernel gives those away without any memory behind them.
        held.append(bytearray(b"\xa5") * size)
        left -= size
    _sleep_in_slices(params.hold_seconds, context)
    return AllocateResult(megabytes=params.megabytes)


def _sleep_in_slices(seconds: float, context: TaskContext) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        context.check_cancelled()
        time.sleep(min(left, _SLICE_SECONDS))


def _sleep_holding_the_gil(seconds: float) -> None:
    # PyDLL, unlike CDLL, keeps the GIL during the call. poll() without descriptors is a sleep in
    # milliseconds.
    libc = ctypes.PyDLL(None, use_errno=True)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:  # a signal ends the call early
        libc.poll(None, 0, max(1, round(left * 1000)))
