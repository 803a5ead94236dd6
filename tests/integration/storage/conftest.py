"""The backends: a directory, a bucket of moto, and one of a real server where TASKYARD_TEST_S3_URL names it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskyard.domain.buckets import Bucket, read_address
from taskyard.storage.interface import Storage
from taskyard.storage.local import LocalStorage
from taskyard.storage.s3 import S3Storage
from tests.support.s3_servers import CREDENTIALS, client_of, moto_server, objects, uploads

REAL_URL = os.environ.get("TASKYARD_TEST_S3_URL")
BACKENDS = ["directory", "moto", *(["server"] if REAL_URL else [])]
PREFIX = "files/"


class Kept:
    """What a backend keeps: complete objects, and what is being written."""

    def __init__(self, where: Path | tuple[Any, str]) -> None:
        self._where = where

    def objects(self) -> int:
        if isinstance(self._where, Path):
            return self._files("objects")
        return len(objects(*self._where))

    def partial(self) -> int:
        if isinstance(self._where, Path):
            return self._files("partial")
        return len(uploads(*self._where))

    def _files(self, below: str) -> int:
        assert isinstance(self._where, Path)
        return len([path for path in (self._where / below).rglob("*") if path.is_file()])


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of moto; the real server's come from the environment."""
    for name, value in CREDENTIALS.items():
        if not REAL_URL:
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")  # a process of ours: tests of a worker would take it for one that a task left
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as address:
        yield address


def new_bucket(endpoint: str) -> tuple[Bucket, Any]:
    client, name = client_of(endpoint), f"t{secrets.token_hex(8)}"
    client.create_bucket(Bucket=name)
    return Bucket(name, PREFIX, endpoint=endpoint), client


@pytest.fixture
def bucket(moto: str) -> tuple[Bucket, Any]:
    """A bucket of its own, and a client of it."""
    return new_bucket(moto)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, Kept]:
    if request.param == "directory":
        return LocalStorage(tmp_path / "store"), Kept(tmp_path / "store")
    if request.param == "moto":
        where, client = new_bucket(request.getfixturevalue("moto"))
    else:
        given = read_address(REAL_URL or "")
        assert isinstance(given, Bucket)
        assert given.endpoint is not None
        where, client = new_bucket(given.endpoint)
    return S3Storage(where), Kept((client, where.name))


@pytest.fixture
def storage(backend: tuple[Storage, Kept]) -> Storage:
    return backend[0]


@pytest.fixture
def kept(backend: tuple[Storage, Kept]) -> Kept:
    return backend[1]
