"""PostgreSQL and Redis themselves, where this machine has their addresses: what the services see of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from ..settings import Settings
from .findings import Finding, Verdict, timed

_PATIENCE = timedelta(seconds=3)
_FULL = 0.9


def check(settings: Settings, *, slow_after: float) -> Iterator[Finding]:
    yield _postgresql(settings, slow_after)
    yield _redis(settings, slow_after)


def _postgresql(settings: Settings, slow_after: float) -> Finding:
    # Imported here: without the addresses of servers, the command does without SQLAlchemy and Alembic.
    from sqlalchemy.exc import DBAPIError

    from ..domain.errors import LedgerUnavailable
    from ..store import ledger, migrate
    from ..store.ledger import engine_of

    step = "postgresql"
    engine = engine_of(settings, "taskyard doctor", serves=["the doctor"], connect_timeout=_PATIENCE)
    try:
        at, usable = ledger.run(engine, lambda conn: (migrate.current(conn), migrate.is_usable(conn)))
        started = time.perf_counter()
        ledger.run(engine, migrate.current)
        seconds = time.perf_counter() - started
    except LedgerUnavailable as e:
        return Finding(step, Verdict.FAIL, f"does not answer here: {e}", runbook="TaskyardDatabaseDown")
    except DBAPIError as e:
        return Finding(step, Verdict.FAIL, f"refuses: {str(e.orig).splitlines()[0]}", runbook="TaskyardDatabaseDown")
    finally:
        engine.dispose()
    if not usable:
        says = f"is at revision {at}, this release needs {migrate.head()}"
        return Finding(step, Verdict.FAIL, says, seconds, do="Run `taskyard-api migrate`.")
    do = "Look at its load, its disk and the way to it."
    says = f"at revision {at}"
    return timed(step, says, seconds, slow_after=slow_after, do=do, runbook="TaskyardDatabaseSlow")


def _redis(settings: Settings, slow_after: float) -> Finding:
    import redis

    from ..broker.connect import make_redis

    step = "redis itself"
    with make_redis(settings.redis_url.get_secret_value(), socket_timeout=_PATIENCE) as client:
        try:
            client.ping()
            started = time.perf_counter()
            client.ping()
            seconds = time.perf_counter() - started
            info = client.info()
        except redis.RedisError as e:
            return Finding(step, Verdict.FAIL, f"does not answer here: {e}", runbook="TaskyardRedisDown")
    used, most = int(info["used_memory"]), int(info.get("maxmemory") or 0)
    policy = str(info.get("maxmemory_policy") or "unknown")
    says = f"{used / 2**20:.0f} MiB" + (f" of {most / 2**20:.0f}" if most else "")
    says += f", {policy}, {'append-only file' if int(info.get('aof_enabled') or 0) else 'no append-only file'}"
    if policy not in {"noeviction", "unknown"}:
        do = "Set maxmemory-policy to noeviction: any other one drops queued work, which the scheduler has to find."
        return Finding(step, Verdict.WARN, says, seconds, do=do, runbook="TaskyardRedisEvictsKeys")
    if most and used > _FULL * most:
        return Finding(step, Verdict.WARN, says, seconds, do="Give it more memory.", runbook="TaskyardRedisMemory")
    return timed(step, says, seconds, slow_after=slow_after, do="Look at its load and the way to it.")
