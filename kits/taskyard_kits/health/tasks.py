"""health.check, the health check as a task: it shows that tasks run, not only that ports answer.

It asks everything at the same time, and waits a few seconds for each at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

import redis
import sqlalchemy as sa

from taskyard import TaskContext, TaskError, task
from taskyard.broker.connect import make_redis
from taskyard.catalogue.words import sentence_to_store
from taskyard.domain.errors import LedgerUnavailable
from taskyard.domain.retry import FINAL_RULES, RetryPolicy
from taskyard_kits.mail import rules as mail_rules
from taskyard_kits.mail import smtp
from taskyard_kits.models import providers
from taskyard_kits.stored_files import storage_errors

from .declarations import Check, CheckResult
from .settings import HealthSettings
from .words import ERRORS, WORDS

PATIENCE = timedelta(seconds=10)


@task(
    "health.check",
    queue="high_priority",
    retry=RetryPolicy(retries=1, first_delay=timedelta(seconds=60), jitter=False, rules=FINAL_RULES),
    soft_limit=timedelta(seconds=60),
    hard_limit=timedelta(seconds=90),
    # No finding ends an attempt: they are told as the codes of mail are told elsewhere.
    rules=tuple(replace(rule, codes=tuple(code for code in rule.codes if code in ERRORS)) for rule in mail_rules.FINAL),
    errors=ERRORS,
    phrases=WORDS.phrases,
)
async def check(*, context: TaskContext) -> CheckResult:
    """Checks that everything the platform depends on answers, and how fast."""
    settings: HealthSettings = context.settings
    # A thread that is given up on ends by its own time-outs.
    probes: dict[str, Callable[[], Awaitable[None]]] = {
        "redis": partial(asyncio.to_thread, _redis, settings.redis_url.get_secret_value()),
        "postgresql": partial(_postgresql, context),
        "storage": partial(asyncio.to_thread, context.storage.check),
    }
    if settings.smtp_host is not None:
        probes["smtp"] = partial(asyncio.to_thread, smtp.greet, settings)
    if settings.cache_url is not None:
        probes["cache"] = partial(asyncio.to_thread, _redis, settings.cache_address)
    probes |= {provider.name: provider.greet for provider in providers.configured(settings)}
    found = await asyncio.gather(*map(_timed, probes.values()))
    checks = dict(zip(probes, found, strict=True))
    healthy = all(c.status == "ok" for c in found)
    status: Literal["ok", "degraded"] = "ok" if healthy else "degraded"
    context.set_attributes({"health.overall_status": status})
    return CheckResult(status=status, timestamp=datetime.now(UTC), checks=checks)


async def _timed(probe: Callable[[], Awaitable[None]]) -> Check:
    started = time.perf_counter()
    try:
        fault = await asyncio.wait_for(_fault_of(probe), PATIENCE.total_seconds())
    except TimeoutError:
        fault = TaskError("check_slow", seconds=f"{PATIENCE.total_seconds():g}")
    milliseconds = round((time.perf_counter() - started) * 1000, 3)
    if fault is None:
        return Check(status="ok", latency_ms=milliseconds)
    reason = sentence_to_store(fault.code, fault.values, WORDS)
    return Check(status="failed", latency_ms=milliseconds, reason=reason, code=fault.code, values=fault.values)


async def _fault_of(probe: Callable[[], Awaitable[None]]) -> TaskError | None:
    """Why it cannot be used; None where it can. In our own words: the errors of clients hold addresses."""
    try:
        with storage_errors():
            await probe()
    except redis.RedisError:
        return TaskError("redis_silent")
    except (LedgerUnavailable, sa.exc.DBAPIError, sa.exc.TimeoutError):
        return TaskError("postgresql_silent")
    except TaskError as e:
        return e
    except Exception as e:  # noqa: BLE001 - whatever is wrong with one dependency is this check's result
        return TaskError("check_failed", error=type(e).__name__)
    return None


def _redis(address: str) -> None:
    with make_redis(address, socket_timeout=timedelta(seconds=3)) as client:
        client.ping()


async def _postgresql(context: TaskContext) -> None:
    async with context.db() as conn:
        await conn.execute(sa.text("SELECT 1"))
