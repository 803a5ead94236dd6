"""What every settings class is made of, the platform's and those of kits: a variable `TASKYARD_<NAME>` a field.

Some are also read from the plain names that earlier systems used (`REDIS_URL`, ...). Values come from
`environment.py`.
"""

from __future__ import annotations

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

from . import addresses
from .domain.buckets import read_address
from .outbound.networks import Networks

DAY_SECONDS = 86_400.0
# The setting, and redis-py's name for it.
_TLS_FILES = {"redis_ca_file": "ssl_ca_certs", "redis_cert_file": "ssl_certfile", "redis_key_file": "ssl_keyfile"}


def names(name: str, *older: str) -> Any:
    """The variables that a setting is read from, the first that is set."""
    return AliasChoices(f"TASKYARD_{name}", *older)


def _own_name(field: str) -> Any:
    return names(field.upper())


secret = partial(Field, repr=False)


def split(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = tuple(part.strip() for part in value.split(",") if part.strip())
    if value and not parts:
        raise ValueError("has nothing between its commas")
    return parts


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]


class KitSettings(BaseSettings):
    """The base of a kit's settings: each field is read from `TASKYARD_<FIELD>`, or from its file in
    TASKYARD_SECRETS_DIR."""

    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=_own_name),
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )


class OutboundSettings(KitSettings):
    """Calls to addresses that callers give."""

    outbound_networks: CommaSeparated = Field(
        default=(), description="Networks that may be called though they are not public, as 10.0.0.0/8."
    )

    @field_validator("outbound_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Networks.parse(value)  # raises ValueError
        return value

    @property
    def reachable(self) -> Networks:
        return Networks.parse(self.outbound_networks)


class RedisSettings(KitSettings):
    """Redis."""

    namespace: str = Field(
        default="taskyard",
        pattern=r"^[a-z0-9_-]{1,32}$",
        description="How all keys in Redis begin: another one for each installation that shares a server.",
    )
    # Before the addresses, whose validator puts them in.
    redis_ca_file: Path | None = Field(
        default=None, description="The authority that signed the servers' certificates, where the system lacks it."
    )
    redis_cert_file: Path | None = Field(
        default=None, description="The certificate that the services show, where the servers want one."
    )
    redis_key_file: Path | None = Field(default=None, description="The key of that certificate.")
    redis_sentinel_password: SecretStr | None = secret(
        default=None, description="The Sentinels' own password; the one in the address is the servers'."
    )
    redis_url: SecretStr = secret(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="`redis://`, `rediss://` (TLS) or `redis+sentinel://[user:password@]host:port,.../service/db`.",
        validation_alias=names("REDIS_URL", "REDIS_URL"),
    )
    cache_url: SecretStr | None = secret(
        default=None, description="Redis for what may be lost, where it is not to be that of the queues."
    )

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

    @field_validator("redis_url", "cache_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """The address, with the TLS files and the Sentinels' password in its query, where it is one that needs them."""
        if value is None:
            return None
        url = addresses.redis_url(value.get_secret_value())
        scheme, query = url.partition("://")[0], {}
        if scheme.startswith("rediss"):
            query = {name: str(info.data[field]) for field, name in _TLS_FILES.items() if info.data.get(field)}
        if scheme in addresses.SENTINEL_SCHEMES and (password := info.data.get("redis_sentinel_password")):
            query["sentinel_password"] = password.get_secret_value()
        return SecretStr(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}") if query else value

    @model_validator(mode="after")
    def _redis_fits_together(self) -> RedisSettings:
        scheme = self.redis_url.get_secret_value().partition("://")[0]
        for field in _TLS_FILES:
            if getattr(self, field) is not None and not scheme.startswith("rediss"):
                raise ValueError(f"TASKYARD_{field.upper()} needs TLS: TASKYARD_REDIS_URL=rediss://...")
        if (self.redis_cert_file is None) != (self.redis_key_file is None):
            raise ValueError("TASKYARD_REDIS_CERT_FILE and TASKYARD_REDIS_KEY_FILE belong together")
        if self.redis_sentinel_password is not None and scheme not in addresses.SENTINEL_SCHEMES:
            raise ValueError("TASKYARD_REDIS_SENTINEL_PASSWORD needs TASKYARD_REDIS_URL=redis+sentinel://...")
        return self

    @property
    def cache_address(self) -> str:
        """Where caches are kept: with the queues, unless `cache_url` says otherwise."""
        return (self.cache_url or self.redis_url).get_secret_value()


class StorageSettings(KitSettings):
    """Files."""

    storage_url: str | None = Field(
        default=None,
        repr=False,
        description="Where files are kept: `file:///directory`, or `s3://bucket/prefix?endpoint=https://host:port`.",
    )
    storage_dir: Path = Field(
        default=Path(".taskyard/storage"), description="The directory where TASKYARD_STORAGE_URL is not set."
    )
    storage_timeout_seconds: float = Field(
        default=30.0, ge=0.1, le=DAY_SECONDS, description="An S3 server that says nothing for so long is given up."
    )

    @field_validator("storage_url")
    @classmethod
    def _storage(cls, value: str | None) -> str | None:
        if value:
            read_address(value)  # raises ValueError
        return value or None


class SentrySettings(KitSettings):
    """Sentry.

    Where failures are reported, if anywhere. The names are its own.
    """

    sentry_dsn: SecretStr | None = secret(
        default=None,
        validation_alias=names("SENTRY_DSN", "SENTRY_DSN"),
        description="Where Sentry takes reports of tasks that failed for good, and of the platform's own errors.",
    )
    sentry_environment: str | None = Field(
        default=None,
        validation_alias=names("SENTRY_ENVIRONMENT", "SENTRY_ENVIRONMENT"),
        description="As Sentry shows it; TASKYARD_APP_ENV where it is not set.",
    )
    sentry_release: str | None = Field(
        default=None,
        validation_alias=names("SENTRY_RELEASE", "SENTRY_RELEASE"),
        description="As Sentry shows it; Taskyard's version where it is not set.",
    )

    @field_validator("sentry_dsn")
    @classmethod
    def _dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = urlsplit(value.get_secret_value())
        try:
            has_host = bool(url.hostname) and url.port != 0
        except ValueError:
            has_host = False
        project = url.path.rpartition("/")[2]
        if url.scheme not in {"http", "https"} or not (url.username and has_host and project.isdecimal()):
            raise ValueError("must be like https://KEY@HOST/7, whose last part is the number of the project")
        return value
