"""`taskyard-api check`: whether the service would find everything that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import redis
from sqlalchemy.exc import DBAPIError

from taskyard.broker.connect import make_redis
from taskyard.catalogue.secrets import SecretsUnreadable
from taskyard.domain.errors import LedgerUnavailable
from taskyard.settings import Settings
from taskyard.store import ledger, migrate
from taskyard.store.ledger import engine_of

from .composition import cipher_of

_PATIENCE = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    says: str
    away: bool = False


def check(settings: Settings) -> list[Check]:
    return [_settings(settings), _database(settings), _redis(settings)]


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


def _redis(settings: Settings) -> Check:
    client = make_redis(settings.redis_url.get_secret_value(), socket_timeout=_PATIENCE)
    try:
        client.ping()
    except redis.RedisError as e:
        return Check("redis", ok=False, says=str(e), away=True)
    finally:
        client.close()
    return Check("redis", ok=True, says="answers")
