"""One frozen `Settings`, read from the environment once (`environment.py`), by the composition root of each service.

Every setting is `TASKYARD_<NAME>`. Some are also read from the plain names that earlier systems used (`DATABASE_URL`,
`REDIS_URL`, `CELERY_WORKER_CONCURRENCY`, ...).
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from . import addresses, failpoints
from .domain.processes import ProcessRange
from .domain.queues import check_queue_name

DEFAULT_QUEUES = ("high_priority", "default", "low_priority", "geo_processing", "selection")
_DAY_SECONDS = 86_400.0
# The setting, and redis-py's name for it.
_TLS_FILES = {"redis_ca_file": "ssl_ca_certs", "redis_cert_file": "ssl_certfile", "redis_key_file": "ssl_keyfile"}
# As browsers send it: no path, no capitals, no default port.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]_-]+")

# No colon: a child's name is that of its worker, a colon, and a number.
_WORKER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def _names(name: str, *older: str) -> Any:
    """The variables that a setting is read from, the first that is set."""
    return AliasChoices(f"TASKYARD_{name}", *older)


def _own_name(field: str) -> Any:
    return _names(field.upper())


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


_secret = partial(Field, repr=False)
_CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=_own_name),
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    # Servers
    database_url: SecretStr = _secret(
        default=SecretStr("postgresql+psycopg://taskyard@127.0.0.1:5432/taskyard"),
        validation_alias=_names("DATABASE_URL", "DATABASE_URL"),
    )
    # Before redis_url, whose validator puts them into the address.
    redis_ca_file: Path | None = None
    redis_cert_file: Path | None = None
    redis_key_file: Path | None = None
    redis_sentinel_password: SecretStr | None = _secret(default=None)
    redis_url: SecretStr = _secret(
        default=SecretStr("redis://127.0.0.1:6379/0"), validation_alias=_names("REDIS_URL", "REDIS_URL")
    )
    db_pool_size: int = Field(default=10, ge=1, le=200)
    db_statement_timeout_seconds: float = Field(default=30.0, ge=0.001, le=_DAY_SECONDS)
    redis_max_connections: int = Field(default=50, ge=2)
    namespace: str = Field(default="taskyard", pattern=r"^[a-z0-9_-]{1,32}$")

    # Tasks
    queues: _CommaSeparated = DEFAULT_QUEUES
    task_modules: _CommaSeparated = ()
    diagnostics: bool = False
    failpoints: _CommaSeparated = Field(
        default=(),
        description="Places where processes kill themselves, for tests; needs TASKYARD_DIAGNOSTICS.",
    )
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = _secret(default=())
    task_timeout_hours: float = Field(
        default=24.0, gt=0, le=24 * 365, validation_alias=_names("TASK_TIMEOUT_HOURS", "TASK_TIMEOUT_HOURS")
    )
    crash_limit: int = Field(default=3, ge=1)
    replay_per_second: float = Field(
        default=50.0,
        ge=0.1,
        le=10_000,
        description="How many of the dead letters that are retried together are queued per second.",
    )
    storage_dir: Path = Path(".taskyard/storage")
    temp_dir: Path = Field(default=Path("temp"), validation_alias=_names("TEMP_DIR", "TEMP_DIR"))

    # API
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    max_upload_bytes: int = Field(default=2 * 1024**3, ge=1)
    rate_limit_per_second: float = Field(default=0.0, ge=0, description="Requests per second and key; 0: no limit.")
    cors_origins: _CommaSeparated = ()
    trusted_proxies: _CommaSeparated = ()
    support_url: str | None = None
    bootstrap_key: SecretStr | None = _secret(default=None)

    # Worker
    worker_name: str | None = Field(default=None, description="As /workers, logs and tasks show it.")
    worker_queues: _CommaSeparated = ()
    worker_processes: Annotated[ProcessRange, NoDecode] = Field(
        default=ProcessRange(2, 2), description="N, or MIN:MAX to scale with the work that waits."
    )
    worker_threads: int = Field(
        default=4,
        ge=1,
        le=256,
        validation_alias=_names("WORKER_THREADS", "CELERY_WORKER_CONCURRENCY"),
    )
    max_tasks_per_child: int = Field(
        default=1000,
        ge=0,
        description="0: no limit.",
        validation_alias=_names("MAX_TASKS_PER_CHILD", "CELERY_WORKER_MAX_TASKS_PER_CHILD"),
    )
    max_memory_per_child_mb: int = Field(default=0, ge=0, description="0: no limit.")
    cancel_grace_seconds: float = Field(default=10.0, gt=0, le=_DAY_SECONDS)
    drain_seconds: float = Field(default=30.0, gt=0, le=_DAY_SECONDS)
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = _secret(default=None)
    smtp_security: str = Field(default="starttls", pattern="^(none|starttls|tls)$")
    smtp_timeout_seconds: float = Field(default=20.0, gt=0, le=_DAY_SECONDS)
    mail_from: str = "Taskyard <taskyard@localhost>"

    # Heartbeats and leases
    heartbeat_seconds: float = Field(default=5.0, gt=0, le=_DAY_SECONDS)
    worker_lease_seconds: float = Field(default=20.0, gt=0, le=_DAY_SECONDS)
    leader_lease_seconds: float = Field(default=3.0, gt=0, le=_DAY_SECONDS)

    # Logs, metrics, health
    app_env: str = Field(default="development", validation_alias=_names("APP_ENV", "APP_ENV"))
    log_level: str = Field(default="info", validation_alias=_names("LOG_LEVEL", "LOG_LEVEL"))
    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9000, ge=0, le=65535, description="0: a free port.")
    health_file: Path | None = None

    # The CLI, as a client of the API
    url: str = "http://127.0.0.1:8000"
    api_key: SecretStr | None = _secret(default=None)

    @field_validator("queues", "worker_queues")
    @classmethod
    def _queue_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in value:
            check_queue_name(name)
        if not value and info.field_name == "queues":
            raise ValueError("must name at least one queue")
        return tuple(dict.fromkeys(value))

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

    @field_validator("database_url")
    @classmethod
    def _driver(cls, value: SecretStr) -> SecretStr:
        return SecretStr(addresses.database_url(value.get_secret_value()))

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

    @field_validator("redis_ca_file")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            addresses.check_authority(value)
        return value

    @field_validator("redis_key_file")
    @classmethod
    def _key_fits(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        certificate = info.data.get("redis_cert_file")
        if value is not None and certificate is not None:
            addresses.check_certificate(certificate, value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """The address, with the TLS files and the Sentinels' password in its query."""
        url = addresses.redis_url(value.get_secret_value())
        query = {name: str(info.data[field]) for field, name in _TLS_FILES.items() if info.data.get(field)}
        if password := info.data.get("redis_sentinel_password"):
            query["sentinel_password"] = password.get_secret_value()
        return SecretStr(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}") if query else value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        scheme = self.redis_url.get_secret_value().partition("://")[0]
        for field in _TLS_FILES:
            if getattr(self, field) is not None and not scheme.startswith("rediss"):
                raise ValueError(f"TASKYARD_{field.upper()} needs TLS: TASKYARD_REDIS_URL=rediss://...")
        if (self.redis_cert_file is None) != (self.redis_key_file is None):
            raise ValueError("TASKYARD_REDIS_CERT_FILE and TASKYARD_REDIS_KEY_FILE belong together")
        if self.redis_sentinel_password is not None and scheme not in addresses.SENTINEL_SCHEMES:
            raise ValueError("TASKYARD_REDIS_SENTINEL_PASSWORD needs TASKYARD_REDIS_URL=redis+sentinel://...")
        if self.worker_lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("TASKYARD_WORKER_LEASE_SECONDS must be at least twice TASKYARD_HEARTBEAT_SECONDS")
        if self.smtp_user is not None and self.smtp_security == "none":
            raise ValueError("TASKYARD_SMTP_SECURITY must be starttls or tls where TASKYARD_SMTP_USER is set")
        return self

    @property
    def failpoints_dir(self) -> Path:
        """Where failpoints leave the marks that they were reached."""
        return self.temp_dir / "failpoints"

    @property
    def db_statement_timeout(self) -> timedelta:
        return timedelta(seconds=self.db_statement_timeout_seconds)

    @property
    def worker_lease(self) -> timedelta:
        return timedelta(seconds=self.worker_lease_seconds)

    @property
    def task_life(self) -> timedelta:
        return timedelta(hours=self.task_timeout_hours)
