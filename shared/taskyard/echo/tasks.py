"""taskyard.echo: a task without side effects, which shows that a queue is served."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from taskyard import Params, Result, task
from taskyard.domain.retry import RetryPolicy


class EchoParams(Params):
    value: Annotated[str, Field(max_length=200)] = ""


class EchoResult(Result):
    value: str


@task(
    "taskyard.echo",
    # Whoever sent it waits for this attempt.
    retry=RetryPolicy(retries=0),
    soft_limit=timedelta(seconds=10),
    hard_limit=timedelta(seconds=15),
)
def echo(params: EchoParams) -> EchoResult:
    """Returns its value: `taskyard doctor` sends it."""
    return EchoResult(value=params.value)
