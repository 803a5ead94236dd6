"""One frozen `Settings`, read from the environment once (`environment.py`), by the composition root of each service.

Every setting is `TASKYARD_<NAME>`. Some are also read from the plain names that earlier systems used (`DATABASE_URL`,
`REDIS_URL`, `CELERY_WORKER_CONCURRENCY`, ...). The page docs/configuration.md is made from these classes: `make docs`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from . import failpoints
from .console_settings import ConsoleSettings
from .domain.queues import check_queue_name
from .domain.secret_keys import check_key
from .service_settings import (
    ApiSettings,
    CommandSettings,
    DatabaseSettings,
    LeadingSettings,
    ReportingSettings,
    WorkerSettings,
)
from .settings_groups import (
    CommaSeparated,
    KitSettings,
    OutboundSettings,
    RedisSettings,
    SentrySettings,
    StorageSettings,
    names,
    secret,
    split,
)

DEFAULT_QUEUES = ("high_priority", "default", "low_priority", "geo_processing", "selection")


def is_production(app_env: str) -> bool:
    return app_env.strip().lower() == "production"


class TaskSettings(KitSettings):
    """Queues and tasks."""

    queues: CommaSeparated = Field(default=DEFAULT_QUEUES, description="The queues that there are.")
    diagnostics: bool = Field(
        default=False,
        description="Whether there are the task types `diagnostics.*`, some of which crash and fill memory on purpose.",
    )
    failpoints: CommaSeparated = Field(
        default=(),
        description="Places where processes kill themselves, for tests; needs TASKYARD_DIAGNOSTICS.",
    )
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split)] = secret(
        default=(),
        description="Keys that encrypt secret parameters: 32 bytes in URL-safe base64 each. The first encrypts, all of"
        " them decrypt: put a new one in front.",
    )
    task_timeout_hours: float = Field(
        default=24.0,
        gt=0,
        le=24 * 365,
        description="A task that has not ended so long after its submit fails (`expired`).",
        validation_alias=names("TASK_TIMEOUT_HOURS", "TASK_TIMEOUT_HOURS"),
    )
    crash_limit: int = Field(
        default=3, ge=1, description="A task under which so many processes ended fails (`crash_limit`)."
    )
    replay_per_second: float = Field(
        default=50.0,
        ge=0.1,
        le=10_000,
        description="How many of the dead letters that are retried together are queued per second.",
    )
    temp_dir: Path = Field(
        default=Path("temp"),
        description="Below it each attempt has a directory of its own. On a disk, apart from the storage.",
        validation_alias=names("TEMP_DIR", "TEMP_DIR"),
    )

    @field_validator("secret_keys")
    @classmethod
    def _fernet_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            check_key(key.get_secret_value())  # raises ValueError
        return value

    @field_validator("failpoints")
    @classmethod
    def _failpoints(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and not info.data.get("diagnostics"):
            raise ValueError("needs TASKYARD_DIAGNOSTICS, which is not for production")
        failpoints.parse(value)  # raises ValueError
        return value

    @property
    def failpoints_dir(self) -> Path:
        """Where failpoints leave the marks that they were reached."""
        return self.temp_dir / "failpoints"

    @property
    def task_life(self) -> timedelta:
        return timedelta(hours=self.task_timeout_hours)


class Settings(
    SentrySettings,
    CommandSettings,
    ReportingSettings,
    LeadingSettings,
    WorkerSettings,
    ConsoleSettings,
    ApiSettings,
    TaskSettings,
    OutboundSettings,
    StorageSettings,
    RedisSettings,
    DatabaseSettings,
):
    """All of them. Fields of the last base come first."""

    @field_validator("queues", "worker_queues")
    @classmethod
    def _queue_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in value:
            check_queue_name(name)
        if not value and info.field_name == "queues":
            raise ValueError("must name at least one queue")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if self.worker_lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("TASKYARD_WORKER_LEASE_SECONDS must be at least twice TASKYARD_HEARTBEAT_SECONDS")
        return self
