"""`taskyard-api check`: whether the service would find everything that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import redis
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from taskyard.broker.connect import make_redis
from taskyard.catalogue.secrets import SecretsUnreadable
from taskyard.catalogue.words import PLATFORM, sentence_to_store
from taskyard.domain.errors import LedgerUnavailable, TaskError
from taskyard.settings import Settings
from taskyard.store import ledger, migrate
from taskyard.store.ledger import engine_of
from taskyard.store.task_role import refuse_powerful

from .composition import cipher_of

_PATIENCE = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    says: str
    away: bool = False


def check(settings: Settings) -> list[Check]:
    return [_settings(settings), _database(settings), _tasks(settings), _redis(settings)]


def _settings(settings: Settings) -> Check:
    try:
        cipher = cipher_of(settings)
    except SecretsUnreadable as e:
        return Check("settings", ok=False, says=str(e))
    keys = "secret parameters can be stored" if cipher.has_keys else "TASKYARD_SECRET_KEYS is not set"
    return Check("settings", ok=True, says=keys)


def _database(settings: Settings) -> Check:
    engine = engine_of(settings, "taskyard-api check", serves=["the check"], connect_timeout=_PATIENCE)
    try:
        found, usable = ledger.run(engine, lambda conn: (migrate.current(conn), migrate.is_usable(conn)))
    except LedgerUnavailable as e:
        return Check("database", ok=False, says=str(e), away=True)
    except DBAPIError as e:
        return Check("database", ok=False, says=f"PostgreSQL refuses: {str(e.orig).splitlines()[0]}")
    finally:
        engine.dispose()
    if not usable:
        says = f"at revision {found}, needs {migrate.head()}: taskyard-api migrate"
        return Check("database", ok=False, says=says)
    return Check("database", ok=True, says=f"at revision {found}")


def _tasks(settings: Settings) -> Check:
    """The database as tasks have it. Only workers need it, so it may be unset here."""
    if settings.task_database_url is None:
        return Check("tasks", ok=True, says="TASKYARD_TASK_DATABASE_URL is not set here: workers need it")
    url = settings.task_database_url.get_secret_value()
    engine = ledger.make_engine(url, pool_size=1, connect_timeout=_PATIENCE, application_name="taskyard-api check")
    refuse_powerful(engine)
    try:
        with ledger.transaction(engine) as conn:
            role = conn.execute(sa.text("SELECT current_user")).scalar()
    except TaskError as e:
        return Check("tasks", ok=False, says=sentence_to_store(e.code, e.values, PLATFORM))
    except LedgerUnavailable as e:
        return Check("tasks", ok=False, says=str(e), away=True)
    except DBAPIError as e:
        return Check("tasks", ok=False, says=f"PostgreSQL refuses: {str(e.orig).splitlines()[0]}")
    finally:
        engine.dispose()
    return Check("tasks", ok=True, says=f"use PostgreSQL as {role}, which cannot touch the ledger")


def _redis(settings: Settings) -> Check:
    client = make_redis(settings.redis_url.get_secret_value(), socket_timeout=_PATIENCE)
    try:
        client.ping()
    except redis.RedisError as e:
        return Check("redis", ok=False, says=str(e), away=True)
    finally:
        client.close()
    return Check("redis", ok=True, says="answers")
