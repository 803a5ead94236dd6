"""What only a real S3 server does: it checks signatures and the digests that they cover. `deploy/smoke-s3.sh`."""

from __future__ import annotations

import http.client
import secrets
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from taskyard.domain.buckets import Bucket, read_address
from taskyard.storage.interface import StorageUnavailable
from taskyard.storage.s3 import S3Storage
from tests.integration.storage.conftest import REAL_URL, new_bucket
from tests.integration.storage.test_conformance import MIB, put
from tests.support.s3_servers import answering, objects, uploads

pytestmark = pytest.mark.container


@pytest.fixture
def endpoint() -> str:
    given = read_address(REAL_URL or "")
    assert isinstance(given, Bucket)
    assert given.endpoint is not None
    return given.endpoint


@pytest.fixture
def bucket(endpoint: str) -> tuple[Bucket, Any]:
    return new_bucket(endpoint)


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_bytes_that_changed_on_the_way_are_refused(bucket: tuple[Bucket, Any], endpoint: str, size: int) -> None:
    where, client = bucket
    flipped: list[str] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> None:
        if request.command == "PUT" and len(body) >= 1000:
            flipped.append(request.path)
            body = bytes([body[0] ^ 1]) + body[1:]
        forward(endpoint, request, body)

    with answering(answer) as between:
        storage = S3Storage(Bucket(where.name, "files/", endpoint=between))
        with pytest.raises(StorageUnavailable):
            put(storage, secrets.token_bytes(size))
    assert flipped
    assert (objects(client, where.name), uploads(client, where.name)) == ([], [])


def test_wrong_credentials_are_told_as_such(bucket: tuple[Bucket, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    where, _ = bucket
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "wrong")
            with pytest.raises(StorageUnavailable) as caught:
                put(S3Storage(where), b"x")
        assert caught.value.phrase == "storage_forbidden", name


def test_a_missing_bucket_is_told_as_such(endpoint: str) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        put(S3Storage(Bucket("not-there", "", endpoint=endpoint)), b"x")
    assert caught.value.phrase == "storage_no_bucket"


def test_parts_that_a_killed_writer_left_are_swept_by_age(bucket: tuple[Bucket, Any]) -> None:
    where, client = bucket
    S3Storage(where).writer().__enter__().write(b"x" * (9 * MIB))  # and never left
    assert len(uploads(client, where.name)) == 1
    assert S3Storage(where).sweep() == 0
    later = time.time() + timedelta(days=1, minutes=1).total_seconds()
    assert S3Storage(where, now=lambda: later).sweep() == 1
    assert uploads(client, where.name) == []


def forward(endpoint: str, request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Sends the request on as it is, but for its body, and the answer back."""
    server = http.client.HTTPConnection(endpoint.partition("://")[2], timeout=20)
    server.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.items():
        if name.lower() != "expect":
            server.putheader(name, value)
    server.endheaders(body)
    answer = server.getresponse()
    content = answer.read()
    request.send_response(answer.status)
    for name, value in answer.getheaders():
        if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
            request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
    server.close()
