"""The settings of the files kit: what is cleaned up."""

from __future__ import annotations

from pydantic import Field

from taskyard.settings_groups import names
from taskyard_kits.temporary_files import TemporaryFileSettings


class FileSettings(TemporaryFileSettings):
    file_cleanup_max_age_days: float = Field(
        default=90.0,
        gt=0,
        le=36_500,
        description="files.cleanup_old deletes files whose content was stored so long ago.",
        validation_alias=names("FILE_CLEANUP_MAX_AGE_DAYS", "FILE_CLEANUP_MAX_AGE_DAYS"),
    )
