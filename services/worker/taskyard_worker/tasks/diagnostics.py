"""diagnostics.*: known behaviour, for drills and benchmarks."""

from __future__ import annotations

import ctypes
import os
import signal
import time

from taskyard.catalogue import diagnostics as catalogue
from taskyard.domain.errors import TaskError

from ..context import TaskContext
from ..implementations import implements

# An exception that is raised into a thread from outside arrives when the thread runs Python again.
_SLICE_SECONDS = 0.05
_BLOCK_BYTES = 16 * 2**20


@implements(catalogue.ECHO)
def echo(params: catalogue.EchoParams, context: TaskContext) -> catalogue.EchoResult:
    return catalogue.EchoResult(value=params.value)


@implements(catalogue.SLEEP)
def sleep(params: catalogue.SleepParams, context: TaskContext) -> catalogue.SleepResult:
    started = time.monotonic()
    if params.in_c:
        _sleep_holding_the_gil(min(params.seconds, catalogue.MAX_SECONDS_IN_C))
    else:
        _sleep_in_slices(params.seconds, context)
    return catalogue.SleepResult(slept_seconds=round(time.monotonic() - started, 3))


@implements(catalogue.FAIL)
def fail(params: catalogue.FailParams, context: TaskContext) -> catalogue.AttemptResult:
    if context.attempt <= params.times:
        raise TaskError(f"diagnostic_{params.kind}", retryable=params.kind == "transient")
    return catalogue.AttemptResult(attempt=context.attempt)


@implements(catalogue.CRASH)
def crash(params: catalogue.CrashParams, context: TaskContext) -> catalogue.AttemptResult:
    if context.attempt <= params.times:
        os.kill(os.getpid(), signal.Signals[params.signal])
        # Some signals have a handler that only asks the process to stop.
        _sleep_in_slices(30, context)
    return catalogue.AttemptResult(attempt=context.attempt)


@implements(catalogue.ALLOCATE)
def allocate(params: catalogue.AllocateParams, context: TaskContext) -> catalogue.AllocateResult:
    held: list[bytearray] = []
    left = params.megabytes * 2**20
    while left > 0:
        context.check_cancelled()
        size = min(left, _BLOCK_BYTES)
        # Not zeros: the kernel gives those away without any memory behind them.
        held.append(bytearray(b"\xa5") * size)
        left -= size
    _sleep_in_slices(params.hold_seconds, context)
    return catalogue.AllocateResult(megabytes=params.megabytes)


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
