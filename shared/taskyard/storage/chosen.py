"""The storage that the settings name."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..domain.buckets import Bucket, read_address
from ..settings import Settings, is_production
from .interface import Storage
from .local import LocalStorage, overlap


def storage_of(settings: Settings) -> Storage:
    """Connects to nothing yet. Raises ModuleNotFoundError for an S3 bucket where the extra `s3` is not installed."""
    where = _place_of(settings)
    if isinstance(where, Path):
        return LocalStorage(where)
    from .s3 import S3Storage  # boto3 costs 20 MB and a third of a second: only where it is used

    return S3Storage(where, timeout_seconds=settings.storage_timeout_seconds)


def temp_dir_overlaps(settings: Settings) -> bool:
    """Whether TASKYARD_TEMP_DIR is, holds or lies in the directory of the storage: what cleans it up would take stored
    files for temporary ones."""
    where = _place_of(settings)
    return isinstance(where, Path) and overlap(settings.temp_dir, where)


def missing_in_production(settings: Settings) -> str | None:
    """What is wrong where nobody has said where files are kept: the directory by default may be on a read-only root,
    which would show with the first upload only."""
    if settings.storage_url is not None or not is_production(settings.app_env):
        return None
    directory = settings.storage_dir
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        if os.access(directory, os.W_OK | os.X_OK):
            return None
    return (
        "TASKYARD_STORAGE_URL: must be set where APP_ENV=production and the directory of TASKYARD_STORAGE_DIR cannot be"
        f" written: {directory}"
    )


def _place_of(settings: Settings) -> Path | Bucket:
    return settings.storage_dir if settings.storage_url is None else read_address(settings.storage_url)
