"""health.check, the health check as a task: it shows that tasks run, not only that ports answer.

It asks everything at the same time, and waits a few seconds for each at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import redis
import sqlalchemy as sa

from taskyard import TaskContext, TaskError, task
from taskyard.broker.connect import make_redis
from taskyard.catalogue.words import Vocabulary, sentence_to_store
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.retry import FINAL_RULES, RetryPolicy
from taskyard.storage.interface import StorageUnavailable
from taskyard_kits.mail import smtp, words

from .declarations import Check, CheckResult
from .settings import HealthSettings

PATIENCE = timedelta(seconds=10)
_MAIL = Vocabulary(words.ERRORS, words.PHRASES)

_REASONS = {
    "slow": "no answer within {seconds:.0f} s",
    "redis": "Redis does not answer",
    "postgresql": "PostgreSQL does not answer",
    "unexpected": "failed with {error}",
}


@task(
    "health.check",
    queue="high_priority",
    retry=RetryPolicy(retries=1, first_delay=timedelta(seconds=60), jitter=False, rules=FINAL_RULES),
    soft_limit=timedelta(seconds=60),
    hard_limit=timedelta(seconds=90),
)
async def check(*, context: TaskContext) -> CheckResult:
    """Checks that everything the platform depends on answers, and how fast."""
    settings: HealthSettings = context.settings
    # A thread that is given up on ends by its own time-outs.
    probes: dict[str, Callable[[], Awaitable[None]]] = {
        "redis": partial(asyncio.to_thread, _redis, settings),
        "postgresql": partial(_postgresql, context),
        "storage": partial(asyncio.to_thread, context.storage.check),
    }
    if settings.smtp_host is not None:
        probes["smtp"] = partial(asyncio.to_thread, smtp.greet, settings)
    found = await asyncio.gather(*map(_timed, probes.values()))
    checks = dict(zip(probes, found, strict=True))
    healthy = all(c.status == "ok" for c in found)
    return CheckResult(status="ok" if healthy else "degraded", timestamp=datetime.now(UTC), checks=checks)


async def _timed(probe: Callable[[], Awaitable[None]]) -> Check:
    started = time.perf_counter()
    try:
        reason = await asyncio.wait_for(_why_not(probe), PATIENCE.total_seconds())
    except TimeoutError:
        reason = _REASONS["slow"].format(seconds=PATIENCE.total_seconds())
    milliseconds = round((time.perf_counter() - started) * 1000, 3)
    return Check(status="failed" if reason else "ok", latency_ms=milliseconds, reason=reason)


async def _why_not(probe: Callable[[], Awaitable[None]]) -> str | None:
    """Why it cannot be used; None where it can. In our own words: the errors of clients hold addresses."""
    try:
        await probe()
    except redis.RedisError:
        return _REASONS["redis"]
    except (LedgerUnavailable, sa.exc.DBAPIError, sa.exc.TimeoutError):
        return _REASONS["postgresql"]
    except StorageUnavailable as e:
        return str(e)
    except TaskError as e:
        return e.message or sentence_to_store(e.code, e.values, _MAIL)
    except Exception as e:  # noqa: BLE001 - whatever is wrong with one dependency is this check's result
        return _REASONS["unexpected"].format(error=type(e).__name__)
    return None


def _redis(settings: HealthSettings) -> None:
    client = make_redis(settings.redis_url.get_secret_value(), socket_timeout=timedelta(seconds=3))
    with client:
        client.ping()


async def _postgresql(context: TaskContext) -> None:
    async with context.db() as conn:
        await conn.execute(sa.text("SELECT 1"))
