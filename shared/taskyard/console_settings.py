"""The settings of the console."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from .domain.secret_keys import check_key
from .settings_groups import CommaSeparated, KitSettings, secret, split

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
ROLES = ("read", "manage", "admin")


class ConsoleSettings(KitSettings):
    """The console."""

    console_host: str = Field(default="127.0.0.1", description="The address that the console listens on.")
    console_port: int = Field(default=8100, ge=0, le=65535, description="0: a free port.")
    console_path: str = Field(
        default="", description="Where the console is behind a proxy, as /console; empty: at the root of its host."
    )
    console_url: str | None = Field(
        default=None, description="The console's address as browsers have it, for links that sign in."
    )
    console_stop_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Told to stop, the console says for so long that it is not ready, and serves on.",
    )
    console_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split)] = secret(
        default=(),
        description="Keys that encrypt sessions, as TASKYARD_SECRET_KEYS: all replicas have the same. Without one,"
        " sessions end with the process.",
    )
    console_api_key: SecretStr | None = secret(
        default=None,
        description="The console's own API key: those who sign in with a name work with it, within their role, and"
        " live pages share its subscription.",
    )
    console_read_only: bool = Field(default=False, description="Whether the console only shows.")
    console_session_hours: float = Field(
        default=12.0, gt=0, le=24 * 30, description="A session ends so long after the sign-in."
    )
    console_trace_url: str = Field(
        default="",
        description="Where a trace is shown, with `{trace_id}`: https://traces.example.org/trace/{trace_id}.",
    )
    console_sign_in_with_keys: bool = Field(default=True, description="Whether an API key signs in.")
    console_users: SecretStr | None = secret(
        default=None,
        description="Who signs in with a password: a line `name:role:hash` each, made by `taskyard-console user`.",
    )
    console_oidc_issuer: str | None = Field(
        default=None, description="The provider of OpenID Connect, as https://id.example.org/realms/main."
    )
    console_oidc_client_id: str = Field(default="", description="The console's name at the provider.")
    console_oidc_client_secret: SecretStr | None = secret(
        default=None, description="Its secret there; unset for a public client."
    )
    console_oidc_scopes: str = Field(default="openid profile email", description="What the provider is asked for.")
    console_oidc_claim: str = Field(default="groups", description="The claim that names a person's groups.")
    console_oidc_roles: CommaSeparated = Field(
        default=(), description="The role of each group: `ops:manage,admins:admin`; `*` stands for everybody."
    )

    @field_validator("console_path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            raise ValueError("must be like /console")
        return path

    @field_validator("console_url", "console_oidc_issuer")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://host")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address: https://host/path")
        return value

    @field_validator("console_trace_url")
    @classmethod
    def _leads_to_a_trace(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or "{trace_id}" not in value):
            raise ValueError("must be an address with {trace_id}")
        return value

    @field_validator("console_secrets")
    @classmethod
    def _fernet_keys_of_sessions(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            check_key(key.get_secret_value())  # raises ValueError
        return value

    @field_validator("console_oidc_roles")
    @classmethod
    def _are_roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            group, _, role = pair.rpartition(":")
            if not group or role not in ROLES:
                raise ValueError(f"{pair[:80]!r} is not group:role, with a role of {', '.join(ROLES)}")
        return value

    @model_validator(mode="after")
    def _console_fits_together(self) -> ConsoleSettings:
        if self.console_oidc_issuer and not (self.console_oidc_client_id and self.console_oidc_roles):
            raise ValueError(
                "TASKYARD_CONSOLE_OIDC_ISSUER needs TASKYARD_CONSOLE_OIDC_CLIENT_ID and TASKYARD_CONSOLE_OIDC_ROLES"
            )
        if (self.console_users or self.console_oidc_issuer) and self.console_api_key is None:
            raise ValueError("TASKYARD_CONSOLE_USERS and TASKYARD_CONSOLE_OIDC_ISSUER need TASKYARD_CONSOLE_API_KEY")
        return self

    @property
    def console_stop_delay(self) -> timedelta:
        return timedelta(seconds=self.console_stop_delay_seconds)

    @property
    def console_session_life(self) -> timedelta:
        return timedelta(hours=self.console_session_hours)

    @property
    def console_address(self) -> str:
        """Where browsers find the console."""
        return (self.console_url or f"http://127.0.0.1:{self.console_port}{self.console_path}").rstrip("/")
