"""The settings of one service or one concern each; `settings.Settings` is all of them together."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from . import addresses
from .domain.processes import ProcessRange
from .settings_groups import DAY_SECONDS, CommaSeparated, KitSettings, names, secret

# As browsers send it: no path, no capitals, no default port.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]_-]+")

# No colon: a child's name is that of its worker, a colon, and a number.
_WORKER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class DatabaseSettings(KitSettings):
    """PostgreSQL."""

    database_url: SecretStr = secret(
        default=SecretStr("postgresql+psycopg://taskyard@127.0.0.1:5432/taskyard"),
        description="PostgreSQL, as libpq takes its address. `?pgbouncer=true` behind pgbouncer in transaction mode.",
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
    db_pool_size: int = Field(
        default=10, ge=1, le=200, description="Connections to PostgreSQL that an API process keeps for requests."
    )
    db_statement_timeout_seconds: float = Field(
        default=30.0,
        ge=0.001,
        le=DAY_SECONDS,
        description="PostgreSQL ends a statement of a service after so long; one of the API after 10 s at the latest."
        " Has no effect behind pgbouncer.",
    )

    @field_validator("database_url", "task_database_url", "listen_url")
    @classmethod
    def _driver(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(addresses.database_url(value.get_secret_value()))

    @property
    def db_statement_timeout(self) -> timedelta:
        return timedelta(seconds=self.db_statement_timeout_seconds)


class ApiSettings(KitSettings):
    """The HTTP API."""

    api_host: str = Field(default="127.0.0.1", description="The address that the API listens on.")
    api_port: int = Field(default=8000, ge=0, le=65535, description="0: a free port.")
    api_processes: int = Field(default=1, ge=1, le=64, description="Processes that serve the API's address together.")
    api_stop_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Told to stop, the API says for so long that it is not ready, and serves on: proxies take it out.",
    )
    api_docs: bool = Field(default=True, description="Whether /docs shows openapi.json as a page.")
    max_upload_bytes: int = Field(default=2 * 1024**3, ge=1, description="The largest file of `POST /tree-items`.")
    rate_limit_per_second: float = Field(default=0.0, ge=0, description="Requests per second and key; 0: no limit.")
    redis_max_connections: int = Field(
        default=50, ge=2, description="Connections to Redis that an API process opens at most."
    )
    cors_origins: CommaSeparated = Field(
        default=(), description="Origins whose pages may call the API from a browser, as https://app.example.org."
    )
    trusted_proxies: CommaSeparated = Field(
        default=(), description="Networks of proxies whose X-Forwarded-For is believed, as 10.20.0.0/16."
    )
    support_url: str | None = Field(
        default=None, description="Where people find help: failed tasks and problem documents show it."
    )
    submit_hooks: CommaSeparated = Field(
        default=(), description="Classes that watch submits, as module:Class (taskyard.Hook)."
    )
    bootstrap_key: SecretStr | None = secret(
        default=None,
        description="The first admin key, `ty_...`. `keys bootstrap` makes it where the database has no key yet.",
    )
    webhook_default_endpoint: UUID | None = Field(
        default=None,
        description="The id of the endpoint whose secret signs callbacks to addresses under no endpoint; unset,"
        " these are refused.",
    )

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

    @property
    def api_stop_delay(self) -> timedelta:
        return timedelta(seconds=self.api_stop_delay_seconds)


class WorkerSettings(KitSettings):
    """Workers."""

    worker_name: str | None = Field(
        default=None,
        description="As /workers, logs and tasks show it.",
    )
    worker_queues: CommaSeparated = Field(
        default=(), description="The queues that it serves, the first before the others."
    )
    lower_queues_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="While a queue has work, so many tasks of each queue named after it are run for each of its own."
        " 0: none.",
    )
    worker_processes: Annotated[ProcessRange, NoDecode] = Field(
        default=ProcessRange(2, 2), description="N, or MIN:MAX to scale with the work that waits."
    )
    worker_children: Literal["fork", "spawn"] = Field(
        default="fork", description="`fork`: children share what a template has imported; `spawn`: each imports it."
    )
    worker_threads: int = Field(
        default=4,
        ge=1,
        le=256,
        description="Tasks that a child process runs at a time.",
        validation_alias=names("WORKER_THREADS", "CELERY_WORKER_CONCURRENCY"),
    )
    max_tasks_per_child: int = Field(
        default=1000,
        ge=0,
        description="A child that has run so many is replaced; 0: no limit.",
        validation_alias=names("MAX_TASKS_PER_CHILD", "CELERY_WORKER_MAX_TASKS_PER_CHILD"),
    )
    max_memory_per_child_mb: int = Field(
        default=0, ge=0, description="A child that uses more is replaced; 0: no limit."
    )
    child_start_seconds: float = Field(
        default=120.0, gt=0, le=DAY_SECONDS, description="A child that is not ready by then is replaced."
    )
    max_descriptors_per_child: int | None = Field(
        default=None,
        ge=0,
        description="A child with more open files is replaced; 0: no limit.",
    )
    max_threads_per_child: int = Field(
        default=500, ge=0, description="A child with more threads is replaced; 0: no limit."
    )
    cancel_grace_seconds: float = Field(
        default=10.0,
        gt=0,
        le=DAY_SECONDS,
        description="How long a task may take to end after it was asked to, before its process is ended.",
    )
    drain_seconds: float = Field(
        default=30.0,
        gt=0,
        le=DAY_SECONDS,
        description="How long a worker that stops lets its tasks finish. What is left is queued again, at no cost.",
    )
    kits: CommaSeparated = Field(default=(), description="The kits that a worker loads.")
    task_modules: CommaSeparated = Field(
        default=(), description="Modules with tasks of no kit, as billing.tasks, found by PYTHONPATH."
    )

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


class LeadingSettings(KitSettings):
    """Heartbeats, leases and schedules."""

    heartbeat_seconds: float = Field(
        default=5.0, gt=0, le=DAY_SECONDS, description="How often a worker renews its lease."
    )
    worker_lease_seconds: float = Field(
        default=20.0,
        gt=0,
        le=DAY_SECONDS,
        description="A worker that has not renewed it for so long is lost: its tasks run elsewhere. At least twice"
        " TASKYARD_HEARTBEAT_SECONDS, and the same for all services.",
    )
    leader_lease_seconds: float = Field(
        default=3.0,
        gt=0,
        le=DAY_SECONDS,
        description="A standby may take the lead from a leader that was silent so long.",
    )
    misfire_grace_seconds: float = Field(
        default=30.0, ge=0, le=DAY_SECONDS, description="How much later a schedule may be fired without being missed."
    )
    fires_kept_days: float = Field(
        default=90.0, ge=1, le=3650, description="For how long what became of due times is kept."
    )
    standing_schedules: bool = Field(
        default=True, description="Whether the leader makes the schedules that task types declare."
    )

    @property
    def misfire_grace(self) -> timedelta:
        return timedelta(seconds=self.misfire_grace_seconds)

    @property
    def fires_kept(self) -> timedelta:
        return timedelta(days=self.fires_kept_days)

    @property
    def worker_lease(self) -> timedelta:
        return timedelta(seconds=self.worker_lease_seconds)


class ReportingSettings(KitSettings):
    """Logs, metrics and health."""

    app_env: str = Field(
        default="development",
        description="`production`: a service refuses development values of secrets, and needs its servers' addresses.",
        validation_alias=names("APP_ENV", "APP_ENV"),
    )
    log_level: str = Field(
        default="info",
        description="`debug`, `info`, `warning`, `error` or `critical`.",
        validation_alias=names("LOG_LEVEL", "LOG_LEVEL"),
    )
    log_format: str = Field(
        default="auto",
        pattern="^(auto|json|console)$",
        description="`auto`: coloured lines on a terminal, otherwise one JSON object a line.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="The address that /metrics listens on.")
    metrics_port: int = Field(default=9000, ge=0, le=65535, description="The port of /metrics; 0: a free one.")
    health_file: Path | None = Field(
        default=None, description="The file that a worker and a scheduler touch while they live, for `healthcheck`."
    )

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error", "critical"}:
            raise ValueError("must be one of debug, info, warning, error, critical")
        return value.lower()


class CommandSettings(KitSettings):
    """The command `taskyard`, a client of the API."""

    url: str = Field(default="http://127.0.0.1:8000", description="Where the API is.")
    api_key: SecretStr | None = secret(default=None, description="The key that requests are made with.")

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
