"""Task types of the tests' own, with an effect outside of the ledger that can be counted."""

import asyncio
import ctypes
import os
import time
from datetime import timedelta
from pathlib import Path

from taskyard import Params, Result, TaskContext, task
from taskyard.domain.retry import RetryPolicy

FILE_VARIABLE = "TASKYARD_TEST_EFFECTS"


class EffectParams(Params):
    seconds: float = 0.0


class EffectResult(Result):
    attempt: int


class SpanParams(Params):
    key: str
    seconds: float = 0.0


class StubbornParams(Params):
    seconds: float
    holds_gil: bool = False


class FamilyParams(Params):
    children: int
    seconds: float


class StepsParams(Params):
    steps: int
    pause_seconds: float


class WalkParams(Params):
    items: int
    size: int = 100
    seconds: float = 0.0


@task("tests.effect", retry=RetryPolicy(retries=3, jitter=False))
def effect(params: EffectParams, context: TaskContext) -> EffectResult:
    """Appends its task id to a file, then sleeps."""
    leave_effect(context)
    _sleep(params.seconds)
    return EffectResult(attempt=context.attempt)


@task("tests.span", retry=RetryPolicy(retries=3, jitter=False))
def span(params: SpanParams) -> Result:
    """Appends to a file when it began, and when it ended."""
    for mark in ("+", "-"):
        append(f"{os.environ[FILE_VARIABLE]}.spans", f"{mark} {params.key} {time.monotonic_ns()}")
        if mark == "+":
            _sleep(params.seconds)
    return Result()


@task("tests.stubborn", retry=RetryPolicy(retries=0))
def go_on(params: StubbornParams, context: TaskContext) -> EffectResult:
    """Appends its task id to a file, then goes on for so long, whatever it is told."""
    leave_effect(context)
    until = time.monotonic() + params.seconds
    while time.monotonic() < until:
        try:
            if params.holds_gil:
                ctypes.PyDLL(None).poll(None, 0, int(params.seconds * 1000))
            _sleep(params.seconds)
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue
    return EffectResult(attempt=context.attempt)


@task("tests.steps", retry=RetryPolicy(retries=0))
def take_steps(params: StepsParams, context: TaskContext) -> EffectResult:
    """Reports progress, again and again."""
    for n in range(params.steps):
        context.progress(n, params.steps)
        _sleep(params.pause_seconds)
    return EffectResult(attempt=context.attempt)


@task("tests.walk", retry=RetryPolicy(retries=3, first_delay=timedelta(milliseconds=10)))
def walk(params: WalkParams, context: TaskContext) -> EffectResult:
    """Appends the number of each item to a file, in batches."""
    for batch in context.batches(range(params.items), message="Walking", size=params.size):
        append(walked_file(), *batch)
        _sleep(params.seconds)
    return EffectResult(attempt=context.attempt)


@task("tests.walk_async", retry=RetryPolicy(retries=3, first_delay=timedelta(milliseconds=10)))
async def walk_async(params: WalkParams, context: TaskContext) -> EffectResult:
    """The same as a coroutine."""
    async for batch in context.batches(range(params.items), message="Walking", size=params.size):
        append(walked_file(), *batch)
        await asyncio.sleep(params.seconds)
    return EffectResult(attempt=context.attempt)


@task("tests.family", retry=RetryPolicy(retries=0))
def bring_up(params: FamilyParams, context: TaskContext) -> EffectResult:
    """Submits children that take their time, and takes its time."""
    for _ in range(params.children):
        context.submit(effect, {"seconds": params.seconds})
    _sleep(params.seconds)
    return EffectResult(attempt=context.attempt)


@task("tests.split", retry=RetryPolicy(retries=3, jitter=False))
def split(params: FamilyParams, context: TaskContext) -> EffectResult:
    """Submits steps to its own workflow, then dies where a failpoint says so."""
    for n in range(params.children):
        context.submit(effect, {"seconds": params.seconds}, key=str(n), into_workflow=True)
    return EffectResult(attempt=context.attempt)


def leave_effect(context: TaskContext) -> None:
    """Appends the task's id to the file of effects."""
    append(os.environ[FILE_VARIABLE], context.task_id)


def append(file: str, *lines: object) -> None:
    # One write to a file opened for appending is not interleaved with others.
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
    finally:
        os.close(descriptor)


def walked_file() -> str:
    return f"{os.environ[FILE_VARIABLE]}.walked"


def _sleep(seconds: float) -> None:
    """In slices: an exception that is raised from outside arrives between them."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


def effects(file: Path) -> list[str]:
    """The ids of the tasks that ran, one for each run."""
    return file.read_text().split() if file.exists() else []
