"""The settings of the maintenance kit: where caches and temporary files are, and how long final tasks are kept."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from taskyard.settings_groups import RedisSettings
from taskyard.store.old_tasks import Ages
from taskyard_kits.temporary_files import TemporaryFileSettings

_LONGEST_DAYS = 3650


class MaintenanceSettings(RedisSettings, TemporaryFileSettings):
    archive_succeeded_after_days: float = Field(
        default=30.0, ge=0, le=_LONGEST_DAYS, description="Tasks that succeeded so long ago leave the ledger."
    )
    archive_failed_after_days: float = Field(
        default=90.0, ge=0, le=_LONGEST_DAYS, description="Tasks that failed so long ago leave it: dead letters, too."
    )
    archive_cancelled_after_days: float = Field(
        default=30.0, ge=0, le=_LONGEST_DAYS, description="Tasks that were cancelled so long ago leave it."
    )

    @property
    def ages(self) -> Ages:
        return Ages(
            succeeded=timedelta(days=self.archive_succeeded_after_days),
            failed=timedelta(days=self.archive_failed_after_days),
            cancelled=timedelta(days=self.archive_cancelled_after_days),
        )
