"""The settings of the maintenance kit: where caches and temporary files are, and how long final tasks are kept."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from taskyard.domain.tasks import FINAL
from taskyard.settings_groups import CommaSeparated, RedisSettings
from taskyard.store.old_tasks import Ages
from taskyard_kits.temporary_files import TemporaryFileSettings

_LONGEST_DAYS = 3650


class MaintenanceSettings(RedisSettings, TemporaryFileSettings):
    archive_succeeded_after_days: float = Field(
        default=30.0, ge=0, le=_LONGEST_DAYS, description="Tasks that succeeded so long ago leave the ledger."
    )
    archive_failed_after_days: float = Field(
        default=90.0, ge=0, le=_LONGEST_DAYS, description="Tasks that failed so long ago and were discarded leave it."
    )
    archive_dead_letters_after_days: float = Field(
        default=180.0,
        ge=0,
        le=_LONGEST_DAYS,
        description="Tasks that failed so long ago leave it, though nobody has retried or discarded them.",
    )
    archive_cancelled_after_days: float = Field(
        default=30.0, ge=0, le=_LONGEST_DAYS, description="Tasks that were cancelled so long ago leave it."
    )

    archives_kept_days: float | None = Field(
        default=None, gt=0, le=_LONGEST_DAYS, description="Archives that are older are deleted; unset: none is."
    )
    remove_states: CommaSeparated = Field(
        default=(),
        description="Of `succeeded`, `failed` and `cancelled`: tasks that are removed without a file when they leave.",
    )

    @field_validator("remove_states")
    @classmethod
    def _final(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not set(value) <= FINAL:
            raise ValueError(f"takes {', '.join(sorted(FINAL))}, separated by commas")
        return value

    @property
    def archived(self) -> Ages:
        return self._ages.of(FINAL - set(self.remove_states))

    @property
    def removed(self) -> Ages:
        return self._ages.of(self.remove_states)

    @property
    def archives_age(self) -> timedelta | None:
        return None if self.archives_kept_days is None else timedelta(days=self.archives_kept_days)

    @property
    def _ages(self) -> Ages:
        return Ages(
            succeeded=timedelta(days=self.archive_succeeded_after_days),
            failed=timedelta(days=self.archive_failed_after_days),
            cancelled=timedelta(days=self.archive_cancelled_after_days),
            dead_letters=timedelta(days=self.archive_dead_letters_after_days),
        )
