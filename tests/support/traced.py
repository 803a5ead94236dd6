"""Task types whose traces and reports are looked at."""

from datetime import timedelta

import structlog

from taskyard import Params, Result, Secret, TaskContext, TaskError, task
from taskyard.domain.retry import RetryPolicy

log = structlog.stdlib.get_logger(__name__)
QUICKLY = RetryPolicy(retries=3, first_delay=timedelta(milliseconds=20), jitter=False)


class TracedParams(Params):
    failures: int = 1
    token: Secret[str] | None = None
    child: bool = False
    note: str = ""


class Traced(Result):
    attempt: int


@task("tests.traced", retry=QUICKLY)
def traced(params: TracedParams, context: TaskContext) -> Traced:
    """Fails so often, and then succeeds. It logs a line, and sets attributes."""
    token = params.token.reveal() if params.token is not None else ""
    in_a_local = f"the token is {token}"
    log.info("traced_line", length=len(in_a_local))
    context.set_attributes({"traced.rows": 3, "traced.said": in_a_local})
    if context.attempt <= params.failures:
        raise RuntimeError(f"attempt {context.attempt} fails with {token or 'nothing'}")
    if params.child:
        context.submit(traced, {"failures": 0})
    return Traced(attempt=context.attempt)


@task("tests.traced_async", retry=QUICKLY)
async def traced_async(params: TracedParams, context: TaskContext) -> Traced:
    """The same as a coroutine, with an error that has a code of its own."""
    log.info("traced_line")
    context.set_attributes({"traced.rows": 4})
    if context.attempt <= params.failures:
        raise TaskError("not_now", "It does not work now.")
    return Traced(attempt=context.attempt)
