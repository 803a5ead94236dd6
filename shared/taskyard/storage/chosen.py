"""The storage that the settings name."""

from __future__ import annotations

from pathlib import Path

from ..domain.buckets import Bucket, read_address
from ..settings import Settings
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


def _place_of(settings: Settings) -> Path | Bucket:
    return settings.storage_dir if settings.storage_url is None else read_address(settings.storage_url)
