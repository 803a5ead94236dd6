"""One frozen `Settings`, read from the environment once (`environment.py`), by the composition root of each service.

Every setting is `TASKYARD_<NAME>`. Some are also read from the plain names that earlier systems used (`DATABASE_URL`,
`REDIS_URL`, `CELERY_WORKER_CONCURRENCY`, ...).
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from . import addresses, failpoints
from .domain.processes import ProcessRange
from .domain.queues import check_queue_name
from .domain.secret_keys import check_key
from .settings_groups import (
    DAY_SECONDS,
    CommaSeparated,
    OutboundSettings,
    RedisSettings,
    SentrySettings,
    StorageSettings,
    names,
    secret,
    split,
)

DEFAULT_QUEUES = ("high_priority", "default", "low_priority", "geo_processing", "selection")
# As browsers send it: no path, no capitals, no default port.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]_-]+")

# No colon: a child's name is that of its worker, a colon, and a number.
_WORKER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def is_production(app_env: str) -> bool:
    return app_env.strip().lower() == "production"


class Settings(RedisSettings, StorageSettings, OutboundSettings, SentrySettings):
    # Servers
    database_url: SecretStr = secret(
        default=SecretStr("postgresql+psycopg://taskyard@127.0.0.1:5432/taskyard"),
        validation_alias=names("DATABASE_URL", "DATABASE_URL"),
    )
    task_database_url: SecretStr | None = secret(
        default=None,
        description="PostgreSQL as tasks have it, in context.db(): under a role that cannot touch the ledger's tables.",
    )
    listen_url: SecretStr | None = secret(
        default=None,
        description="PostgreSQL for the scheduler's LISTEN, where TASKYARD_DATABASE_URL leads to a pooler that does not"
        " pass it. Without it, commits of applications behind such a pooler are seen within a second.",
    )
    db_pool_size: int = Field(default=10, ge=1, le=200)
    db_statement_timeout_seconds: float = Field(default=30.0, ge=0.001, le=DAY_SECONDS)
    redis_max_connections: int = Field(default=50, ge=2)

    # Tasks
    queues: CommaSeparated = DEFAULT_QUEUES
    task_modules: CommaSeparated = ()
    kits: CommaSeparated = Field(
        default=(), description="The kits that a worker loads; by default those of its queues."
    )
    diagnostics: bool = False
    failpoints: CommaSeparated = Field(
        default=(),
        description="Places where processes kill themselves, for tests; needs TASKYARD_DIAGNOSTICS.",
    )
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split)] = secret(default=())
    task_timeout_hours: float = Field(
        default=24.0, gt=0, le=24 * 365, validation_alias=names("TASK_TIMEOUT_HOURS", "TASK_TIMEOUT_HOURS")
    )
    crash_limit: int = Field(default=3, ge=1)
    replay_per_second: float = Field(
        default=50.0,
        ge=0.1,
        le=10_000,
        description="How many of the dead letters that are retried together are queued per second.",
    )
    temp_dir: Path = Field(default=Path("temp"), validation_alias=names("TEMP_DIR", "TEMP_DIR"))

    # API
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_stop_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Told to stop, the API says for so long that it is not ready, and serves on: proxies take it out.",
    )
    api_docs: bool = Field(default=True, description="Whether /docs shows openapi.json as a page.")
    max_upload_bytes: int = Field(default=2 * 1024**3, ge=1)
    rate_limit_per_second: float = Field(default=0.0, ge=0, description="Requests per second and key; 0: no limit.")
    cors_origins: CommaSeparated = ()
    trusted_proxies: CommaSeparated = ()
    support_url: str | None = None
    submit_hooks: CommaSeparated = Field(
        default=(), description="Classes that watch submits, as module:Class (taskyard.Hook)."
    )
    bootstrap_key: SecretStr | None = secret(default=None)
    webhook_default_endpoint: UUID | None = Field(
        default=None,
        description="The id of the endpoint whose secret signs callbacks to addresses under no endpoint; unset,"
        " these are refused.",
    )

    # Worker
    worker_name: str | None = Field(default=None, description="As /workers, logs and tasks show it.")
    worker_queues: CommaSeparated = ()
    worker_processes: Annotated[ProcessRange, NoDecode] = Field(
        default=ProcessRange(2, 2), description="N, or MIN:MAX to scale with the work that waits."
    )
    worker_threads: int = Field(
        default=4,
        ge=1,
        le=256,
        validation_alias=names("WORKER_THREADS", "CELERY_WORKER_CONCURRENCY"),
    )
    max_tasks_per_child: int = Field(
        default=1000,
        ge=0,
        description="0: no limit.",
        validation_alias=names("MAX_TASKS_PER_CHILD", "CELERY_WORKER_MAX_TASKS_PER_CHILD"),
    )
    max_memory_per_child_mb: int = Field(default=0, ge=0, description="0: no limit.")
    child_start_seconds: float = Field(
        default=120.0, gt=0, le=DAY_SECONDS, description="A child that is not ready by then is replaced."
    )
    max_descriptors_per_child: int | None = Field(
        default=None,
        ge=0,
        description="By default half of what the process may have, and 10,000 at most; 0: no limit.",
    )
    max_threads_per_child: int = Field(default=500, ge=0, description="0: no limit.")
    cancel_grace_seconds: float = Field(default=10.0, gt=0, le=DAY_SECONDS)
    drain_seconds: float = Field(default=30.0, gt=0, le=DAY_SECONDS)

    # Heartbeats and leases
    heartbeat_seconds: float = Field(default=5.0, gt=0, le=DAY_SECONDS)
    worker_lease_seconds: float = Field(default=20.0, gt=0, le=DAY_SECONDS)
    leader_lease_seconds: float = Field(default=3.0, gt=0, le=DAY_SECONDS)
    misfire_grace_seconds: float = Field(
        default=30.0, ge=0, le=DAY_SECONDS, description="How much later a schedule may be fired without being missed."
    )
    fires_kept_days: float = Field(
        default=90.0, ge=1, le=3650, description="For how long what became of due times is kept."
    )
    standing_schedules: bool = Field(
        default=True, description="Whether the leader makes the schedules that task types declare."
    )

    # Logs, metrics, health
    app_env: str = Field(default="development", validation_alias=names("APP_ENV", "APP_ENV"))
    log_level: str = Field(default="info", validation_alias=names("LOG_LEVEL", "LOG_LEVEL"))
    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9000, ge=0, le=65535, description="0: a free port.")
    health_file: Path | None = None

    # The CLI, as a client of the API
    url: str = "http://127.0.0.1:8000"
    api_key: SecretStr | None = secret(default=None)

    @field_validator("queues", "worker_queues")
    @classmethod
    def _queue_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in value:
            check_queue_name(name)
        if not value and info.field_name == "queues":
            raise ValueError("must name at least one queue")
        return tuple(dict.fromkeys(value))

    @field_validator("secret_keys")
    @classmethod
    def _fernet_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            check_key(key.get_secret_value())  # raises ValueError
        return value

    @field_validator("worker_name")
    @classmethod
    def _worker_name(cls, value: str | None) -> str | None:
        if value is not None and not _WORKER_NAME.fullmatch(value):
            raise ValueError("must be 1 to 64 letters, digits, and . _ - @ after the first: mail@production")
        return value

    @field_validator("worker_processes", mode="before")
    @classmethod
    def _range(cls, value: object) -> object:
        return ProcessRange.parse(str(value)) if isinstance(value, str | int) else value

    @field_validator("failpoints")
    @classmethod
    def _failpoints(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and not info.data.get("diagnostics"):
            raise ValueError("needs TASKYARD_DIAGNOSTICS, which is not for production")
        failpoints.parse(value)  # raises ValueError
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            ipaddress.ip_network(address, strict=False)  # raises ValueError
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:80]!r} is no origin as browsers send it: https://app.example.org")
        return value

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error", "critical"}:
            raise ValueError("must be one of debug, info, warning, error, critical")
        return value.lower()

    @field_validator("database_url", "task_database_url", "listen_url")
    @classmethod
    def _driver(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(addresses.database_url(value.get_secret_value()))

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)  # raises ValueError for unbalanced brackets
        if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isascii():
            raise ValueError("must be the address of the API: http://host:port")
        addresses.check_port(value.partition("://")[2])
        return value

    @field_validator("api_key")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value()
        if not text.isascii() or not text.isprintable():
            raise ValueError("must be printable ASCII: ty_...")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if self.worker_lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("TASKYARD_WORKER_LEASE_SECONDS must be at least twice TASKYARD_HEARTBEAT_SECONDS")
        return self

    @property
    def failpoints_dir(self) -> Path:
        """Where failpoints leave the marks that they were reached."""
        return self.temp_dir / "failpoints"

    @property
    def db_statement_timeout(self) -> timedelta:
        return timedelta(seconds=self.db_statement_timeout_seconds)

    @property
    def api_stop_delay(self) -> timedelta:
        return timedelta(seconds=self.api_stop_delay_seconds)

    @property
    def misfire_grace(self) -> timedelta:
        return timedelta(seconds=self.misfire_grace_seconds)

    @property
    def fires_kept(self) -> timedelta:
        return timedelta(days=self.fires_kept_days)

    @property
    def worker_lease(self) -> timedelta:
        return timedelta(seconds=self.worker_lease_seconds)

    @property
    def task_life(self) -> timedelta:
        return timedelta(hours=self.task_timeout_hours)
