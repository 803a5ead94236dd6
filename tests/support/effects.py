"""A task type of the tests' own, with an effect outside of the ledger that can be counted."""

import os
import time
from pathlib import Path

from taskyard.catalogue.types import Params, Result, TaskType
from taskyard.domain.retry import RetryPolicy
from taskyard_worker.context import TaskContext
from taskyard_worker.implementations import implements

FILE_VARIABLE = "TASKYARD_TEST_EFFECTS"


class EffectParams(Params):
    seconds: float = 0.0


class EffectResult(Result):
    attempt: int


EFFECT = TaskType(
    name="tests.effect",
    description="Appends its task id to a file, then sleeps.",
    params=EffectParams,
    result=EffectResult,
    retry=RetryPolicy(retries=3, jitter=False),
)


@implements(EFFECT)
def effect(params: EffectParams, context: TaskContext) -> EffectResult:
    # One write of a short line to a file opened for appending is not interleaved with others.
    descriptor = os.open(os.environ[FILE_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{context.task_id}\n".encode())
    finally:
        os.close(descriptor)
    time.sleep(params.seconds)
    return EffectResult(attempt=context.attempt)


def effects(file: Path) -> list[str]:
    """The ids of the tasks that ran, one for each run."""
    return file.read_text().split() if file.exists() else []
