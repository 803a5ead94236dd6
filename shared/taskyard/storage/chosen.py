"""The storage that the settings name."""

from __future__ import annotations

from pathlib import Path

from ..domain.buckets import read_address
from ..settings import Settings
from .interface import Storage
from .local import LocalStorage


def storage_of(settings: Settings) -> Storage:
    """Connects to nothing yet. Raises ModuleNotFoundError for an S3 bucket where the extra `s3` is not installed."""
    where = settings.storage_dir if settings.storage_url is None else read_address(settings.storage_url)
    if isinstance(where, Path):
        return LocalStorage(where)
    from .s3 import S3Storage  # boto3 costs 20 MB and a third of a second: only where it is used

    return S3Storage(where, timeout_seconds=settings.storage_timeout_seconds)
