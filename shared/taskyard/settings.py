"""One frozen `Settings`, read from the environment once (`environment.py`), by the composition root of each service.

Every setting is `TASKYARD_<NAME>`; some also answer to the plain names of the systems that came before
(`DATABASE_URL`, `REDIS_URL`, `CELERY_WORKER_CONCURRENCY`, ...).
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
# As redis-py calls them.
_TLS_FILES = {"redis_ca_file": "ssl_ca_certs", "redis_cert_file": "ssl_certfile", "redis_key_file": "ssl_keyfile"}
# Browsers send no path, no capitals, and no port that goes without saying.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]_-]+")


def _names(name: str, *older: str) -> Any:
    return AliasChoices(f"TASKYARD_{name}", *older)


_secret = partial(Field, repr=False)
_CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True, allow_inf_nan=False
    )

    # Servers
    database_url: SecretStr = _secret(
        default=SecretStr("postgresql+psycopg://taskyard@127.0.0.1:5432/taskyard"),
        validation_alias=_names("DATABASE_URL", "DATABASE_URL"),
    )
    # Before the address, which takes them up.
    redis_ca_file: Path | None = Field(default=None, validation_alias=_names("REDIS_CA_FILE"))
    redis_cert_file: Path | None = Field(default=None, validation_alias=_names("REDIS_CERT_FILE"))
    redis_key_file: Path | None = Field(default=None, validation_alias=_names("REDIS_KEY_FILE"))
    redis_sentinel_password: SecretStr | None = _secret(
        default=None, validation_alias=_names("REDIS_SENTINEL_PASSWORD")
    )
    redis_url: SecretStr = _secret(
        default=SecretStr("redis://127.0.0.1:6379/0"), validation_alias=_names("REDIS_URL", "REDIS_URL")
    )
    db_pool_size: int = Field(default=10, ge=1, le=200, validation_alias=_names("DB_POOL_SIZE"))
    db_statement_timeout_seconds: float = Field(
        default=30.0, ge=0.001, le=_DAY_SECONDS, validation_alias=_names("DB_STATEMENT_TIMEOUT_SECONDS")
    )
    redis_max_connections: int = Field(default=50, ge=2, validation_alias=_names("REDIS_MAX_CONNECTIONS"))
    namespace: str = Field(default="taskyard", pattern=r"^[a-z0-9_-]{1,32}$", validation_alias=_names("NAMESPACE"))

    # What runs
    queues: _CommaSeparated = Field(default=DEFAULT_QUEUES, validation_alias=_names("QUEUES"))
    task_modules: _CommaSeparated = Field(default=(), validation_alias=_names("TASK_MODULES"))
    diagnostics: bool = Field(default=False, validation_alias=_names("DIAGNOSTICS"))
    failpoints: _CommaSeparated = Field(
        default=(),
        description="Places where processes die, for tests of what survives that; needs TASKYARD_DIAGNOSTICS.",
        validation_alias=_names("FAILPOINTS"),
    )
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = _secret(
        default=(), validation_alias=_names("SECRET_KEYS")
    )
    task_timeout_hours: float = Field(
        default=24.0, gt=0, le=24 * 365, validation_alias=_names("TASK_TIMEOUT_HOURS", "TASK_TIMEOUT_HOURS")
    )
    crash_limit: int = Field(default=3, ge=1, validation_alias=_names("CRASH_LIMIT"))
    replay_per_second: float = Field(
        default=50.0,
        ge=0.1,
        le=10_000,
        description="Dead letters that are retried together go one after the other, so many a second.",
        validation_alias=_names("REPLAY_PER_SECOND"),
    )
    storage_dir: Path = Field(default=Path(".taskyard/storage"), validation_alias=_names("STORAGE_DIR"))
    temp_dir: Path = Field(default=Path("temp"), validation_alias=_names("TEMP_DIR", "TEMP_DIR"))

    # Api
    api_host: str = Field(default="127.0.0.1", validation_alias=_names("API_HOST"))
    api_port: int = Field(default=8000, ge=0, le=65535, validation_alias=_names("API_PORT"))
    max_upload_bytes: int = Field(default=2 * 1024**3, ge=1, validation_alias=_names("MAX_UPLOAD_BYTES"))
    rate_limit_per_second: float = Field(
        default=0.0,
        ge=0,
        description="Requests a second and key; 0: none.",
        validation_alias=_names("RATE_LIMIT_PER_SECOND"),
    )
    cors_origins: _CommaSeparated = Field(default=(), validation_alias=_names("CORS_ORIGINS"))
    trusted_proxies: _CommaSeparated = Field(default=(), validation_alias=_names("TRUSTED_PROXIES"))
    support_url: str | None = Field(default=None, validation_alias=_names("SUPPORT_URL"))
    bootstrap_key: SecretStr | None = _secret(default=None, validation_alias=_names("BOOTSTRAP_KEY"))

    # Worker
    worker_queues: _CommaSeparated = Field(default=(), validation_alias=_names("WORKER_QUEUES"))
    worker_processes: Annotated[ProcessRange, NoDecode] = Field(
        default=ProcessRange(2, 2),
        description="N, or MIN:MAX for as many as have work.",
        validation_alias=_names("WORKER_PROCESSES"),
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
    max_memory_per_child_mb: int = Field(
        default=0, ge=0, description="0: no limit.", validation_alias=_names("MAX_MEMORY_PER_CHILD_MB")
    )
    cancel_grace_seconds: float = Field(
        default=10.0, gt=0, le=_DAY_SECONDS, validation_alias=_names("CANCEL_GRACE_SECONDS")
    )
    drain_seconds: float = Field(default=30.0, gt=0, le=_DAY_SECONDS, validation_alias=_names("DRAIN_SECONDS"))
    smtp_host: str | None = Field(default=None, validation_alias=_names("SMTP_HOST"))
    smtp_port: int = Field(default=587, ge=1, le=65535, validation_alias=_names("SMTP_PORT"))
    smtp_user: str | None = Field(default=None, validation_alias=_names("SMTP_USER"))
    smtp_password: SecretStr | None = _secret(default=None, validation_alias=_names("SMTP_PASSWORD"))
    smtp_security: str = Field(
        default="starttls", pattern="^(none|starttls|tls)$", validation_alias=_names("SMTP_SECURITY")
    )
    smtp_timeout_seconds: float = Field(
        default=20.0, gt=0, le=_DAY_SECONDS, validation_alias=_names("SMTP_TIMEOUT_SECONDS")
    )
    mail_from: str = Field(default="Taskyard <taskyard@localhost>", validation_alias=_names("MAIL_FROM"))

    # Lives and leases
    heartbeat_seconds: float = Field(default=5.0, gt=0, le=_DAY_SECONDS, validation_alias=_names("HEARTBEAT_SECONDS"))
    worker_lease_seconds: float = Field(
        default=20.0, gt=0, le=_DAY_SECONDS, validation_alias=_names("WORKER_LEASE_SECONDS")
    )
    leader_lease_seconds: float = Field(
        default=3.0, gt=0, le=_DAY_SECONDS, validation_alias=_names("LEADER_LEASE_SECONDS")
    )

    # Watching
    app_env: str = Field(default="development", validation_alias=_names("APP_ENV", "APP_ENV"))
    log_level: str = Field(default="info", validation_alias=_names("LOG_LEVEL", "LOG_LEVEL"))
    log_format: str = Field(default="auto", pattern="^(auto|json|console)$", validation_alias=_names("LOG_FORMAT"))
    metrics_host: str = Field(default="127.0.0.1", validation_alias=_names("METRICS_HOST"))
    metrics_port: int = Field(
        default=9000, ge=0, le=65535, description="0: a free port.", validation_alias=_names("METRICS_PORT")
    )

    health_file: Path | None = Field(default=None, validation_alias=_names("HEALTH_FILE"))

    # The CLI, as a client of the API
    url: str = Field(default="http://127.0.0.1:8000", validation_alias=_names("URL"))
    api_key: SecretStr | None = _secret(default=None, validation_alias=_names("API_KEY"))

    @field_validator(
        "queues",
        "task_modules",
        "failpoints",
        "cors_origins",
        "trusted_proxies",
        "worker_queues",
        "secret_keys",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("queues", "worker_queues")
    @classmethod
    def _queue_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in value:
            check_queue_name(name)
        if not value and info.field_name == "queues":
            raise ValueError("must name at least one queue")
        return tuple(dict.fromkeys(value))

    @field_validator("worker_processes", mode="before")
    @classmethod
    def _range(cls, value: object) -> object:
        return ProcessRange.parse(str(value)) if isinstance(value, str | int) else value

    @field_validator("failpoints")
    @classmethod
    def _failpoints(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and not info.data.get("diagnostics"):
            raise ValueError("needs TASKYARD_DIAGNOSTICS, which no service that matters should have")
        failpoints.parse(value)  # raises ValueError, with words
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            ipaddress.ip_network(address, strict=False)  # raises ValueError, with words
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
        parts = urlsplit(value)  # raises ValueError for brackets that do not fit
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
        """With the files for TLS and the Sentinels' password in its query."""
        url = addresses.redis_url(value.get_secret_value())
        query = {name: str(info.data[field]) for field, name in _TLS_FILES.items() if info.data.get(field)}
        if password := info.data.get("redis_sentinel_password"):
            query["sentinel_password"] = password.get_secret_value()
        return SecretStr(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}") if query else value

    @model_validator(mode="after")
    def _redis_options_have_a_use(self) -> Settings:
        scheme = self.redis_url.get_secret_value().partition("://")[0]
        for field in _TLS_FILES:
            if getattr(self, field) is not None and not scheme.startswith("rediss"):
                raise ValueError(f"TASKYARD_{field.upper()} needs TLS: TASKYARD_REDIS_URL=rediss://...")
        if (self.redis_cert_file is None) != (self.redis_key_file is None):
            raise ValueError("TASKYARD_REDIS_CERT_FILE and TASKYARD_REDIS_KEY_FILE belong together")
        if self.redis_sentinel_password is not None and scheme not in addresses.SENTINEL_SCHEMES:
            raise ValueError("TASKYARD_REDIS_SENTINEL_PASSWORD needs TASKYARD_REDIS_URL=redis+sentinel://...")
        return self

    @model_validator(mode="after")
    def _lease_outlives_beats(self) -> Settings:
        if self.worker_lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("TASKYARD_WORKER_LEASE_SECONDS must be at least twice TASKYARD_HEARTBEAT_SECONDS")
        return self

    @model_validator(mode="after")
    def _no_login_in_the_clear(self) -> Settings:
        if self.smtp_user is not None and self.smtp_security == "none":
            raise ValueError("TASKYARD_SMTP_SECURITY must be starttls or tls where TASKYARD_SMTP_USER is set")
        return self

    @property
    def failpoints_dir(self) -> Path:
        """Where a failpoint leaves word that it was reached."""
        return self.temp_dir / "failpoints"

    @property
    def task_life(self) -> timedelta:
        return timedelta(hours=self.task_timeout_hours)
