"""The storage in an S3 bucket, where it is not as the directory is: a network in between, and a server that may be
slow, cut off, lying, or refuse."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from taskyard.domain.buckets import Bucket
from taskyard.domain.failures import PHRASES
from taskyard.storage import s3_errors
from taskyard.storage.interface import ObjectMissing, StorageUnavailable
from taskyard.storage.s3 import S3Storage
from tests.integration.storage.test_conformance import MIB, put
from tests.support.fleet import wait_for
from tests.support.proxy import Proxy
from tests.support.s3_servers import answering, objects, refusing, uploads

DAY = timedelta(days=1).total_seconds()


def storage_at(endpoint: str, seconds: float = 5.0) -> S3Storage:
    return S3Storage(Bucket("any", "", endpoint=endpoint), timeout_seconds=seconds)


WRITER = """
    import sys, time
    from taskyard.domain.buckets import Bucket
    from taskyard.storage.s3 import S3Storage
    bucket = Bucket(sys.argv[1], "files/", endpoint=sys.argv[2])
    with S3Storage(bucket).writer() as writer:
        writer.write(b"x" * 20_000_000)
        print("written", flush=True)
        time.sleep(60)
"""


def test_a_writer_that_was_killed_leaves_no_object_and_its_parts_are_swept_by_age(bucket: tuple[Bucket, Any]) -> None:
    where, client = bucket
    assert where.endpoint is not None
    command = [sys.executable, "-c", textwrap.dedent(WRITER), where.name, where.endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    assert objects(client, where.name) == []
    assert len(uploads(client, where.name)) == 1
    # What the server says: moto gives every upload the same date.
    began = client.list_multipart_uploads(Bucket=where.name)["Uploads"][0]["Initiated"].timestamp()
    young, old = began + DAY - 60, began + DAY + 60
    assert S3Storage(where, now=lambda: young).sweep() == 0  # it may be another process at work
    put(S3Storage(where, now=lambda: old), b"the next writer cleans up")
    assert uploads(client, where.name) == []
    assert len(objects(client, where.name)) == 1


def test_what_is_not_ours_in_the_bucket_is_left_alone(bucket: tuple[Bucket, Any]) -> None:
    where, client = bucket
    client.create_multipart_upload(Bucket=where.name, Key="another/application")
    assert S3Storage(where, now=lambda: time.time() + 2 * DAY).sweep() == 0
    assert len(uploads(client, where.name)) == 1


@pytest.mark.parametrize(
    ("status", "code", "phrase"),
    [
        (403, "AccessDenied", "storage_forbidden"),
        (403, "SignatureDoesNotMatch", "storage_forbidden"),
        (403, "InvalidAccessKeyId", "storage_forbidden"),
        (404, "NoSuchBucket", "storage_no_bucket"),
        (403, "QuotaExceeded", "storage_quota"),
        (507, "XMinioStorageFull", "storage_full"),
        (400, "EntityTooLarge", "storage_file_too_large"),
        (503, "SlowDown", "storage_overloaded"),
        (500, "InternalError", "storage_unreachable"),
    ],
)
def test_what_a_server_refuses_is_told_apart(status: int, code: str, phrase: str) -> None:
    with answering(refusing(status, code)) as endpoint:
        storage = storage_at(endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            put(storage, b"x")
        assert caught.value.phrase == phrase
        assert str(caught.value) == PHRASES[phrase]
        with pytest.raises(StorageUnavailable):
            storage.open("0" * 32)


def test_every_reason_is_a_phrase_of_the_platform() -> None:
    named = {*s3_errors.PHRASE_OF_CODE.values(), *s3_errors.PHRASE_OF_STATUS.values(), "storage_unreachable"}
    assert named <= set(PHRASES)


def test_a_server_that_refuses_once_is_asked_again() -> None:
    seen: list[str] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> None:
        seen.append(request.command)
        if request.command != "PUT" or seen.count("PUT") == 1:
            refusing(503, "SlowDown")(request, body)
            return
        request.send_response(200)
        request.send_header("ETag", '"e"')
        request.send_header("Content-Length", "0")
        request.end_headers()

    with answering(answer) as endpoint:
        put(storage_at(endpoint), b"x")
    assert seen.count("PUT") == 2


def test_without_credentials_the_reason_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with answering(refusing(500, "InternalError")) as endpoint, pytest.raises(StorageUnavailable) as caught:
        put(storage_at(endpoint), b"x")
    assert caught.value.phrase == "storage_forbidden"


@pytest.mark.parametrize("fault", ["refuse", "stall"])
def test_a_server_that_is_away_or_silent_is_given_up(bucket: tuple[Bucket, Any], fault: str) -> None:
    where, _ = bucket
    with Proxy(address_of(where)) as proxy:
        through = Bucket(where.name, "", endpoint=f"http://127.0.0.1:{proxy.port}")
        key = put(S3Storage(through), b"x").key
        storage = S3Storage(through, timeout_seconds=0.5)

        def answers() -> bool:
            try:
                return storage.size(key) == 1
            except StorageUnavailable:
                return False

        wait_for(answers, 30, "an answer within its time")
        getattr(proxy, fault)()
        for use in (lambda: put(storage, b"y"), lambda: storage.open(key), lambda: storage.size(key)):
            with pytest.raises(StorageUnavailable) as caught:
                use()
            assert caught.value.phrase == "storage_unreachable"
        proxy.restore()
        wait_for(answers, 30, "an answer within its time")


def test_a_download_outlives_cut_connections(bucket: tuple[Bucket, Any]) -> None:
    where, _ = bucket
    content = os.urandom(24 * MIB)
    key = put(S3Storage(where), content).key
    with Proxy(address_of(where)) as proxy:
        storage = S3Storage(Bucket(where.name, "files/", endpoint=f"http://127.0.0.1:{proxy.port}"))
        digest = hashlib.sha256()
        with storage.open(key) as file:
            for n in range(24):
                if n in {1, 9}:
                    proxy.cut()
                digest.update(file.read(MIB))
            assert file.read() == b""
        assert proxy.accepted >= 3
    assert digest.digest() == hashlib.sha256(content).digest()


def test_an_object_that_was_replaced_meanwhile_is_not_mixed(bucket: tuple[Bucket, Any]) -> None:
    where, client = bucket
    key = put(S3Storage(where), b"a" * MIB).key
    with S3Storage(where).open(key) as file:
        assert file.read(10) == b"a" * 10
        client.put_object(Bucket=where.name, Key=f"files/objects/{key[:2]}/{key}", Body=b"b" * MIB)
        file.seek(900_000)
        with pytest.raises(ObjectMissing):
            file.read()


def test_a_server_that_promises_more_than_it_sends_is_not_believed() -> None:
    def answer(request: BaseHTTPRequestHandler, body: bytes) -> None:
        request.send_response(206 if "Range" in request.headers else 200)
        for name, value in (("Content-Length", "1000"), ("ETag", '"e"'), ("Connection", "close")):
            request.send_header(name, value)
        request.end_headers()
        request.close_connection = True

    with answering(answer) as endpoint:
        file = storage_at(endpoint).open("0" * 32)
        with file, pytest.raises(StorageUnavailable):
            file.read()


@pytest.mark.parametrize("told", [None, "bytes 0-999/1000"])
def test_a_server_that_sends_another_range_is_not_believed(told: str | None) -> None:
    """The bytes from the start on would go for those in the middle."""

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> None:
        request.send_response(200 if told is None else 206)
        for name, value in (("Content-Length", "1000"), ("ETag", '"e"'), ("Content-Range", told)):
            if value is not None:
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(b"x" * 1000)

    with answering(answer) as endpoint:
        storage = storage_at(endpoint)
        with pytest.raises(StorageUnavailable) as caught:
            storage.open("0" * 32, offset=10)
        assert caught.value.phrase == "storage_wrong"
        with storage.open("0" * 32) as file:
            assert file.read() == b"x" * 1000


def test_a_commit_whose_answer_was_lost_is_found_out(bucket: tuple[Bucket, Any]) -> None:
    """The server has completed the upload, and knows of none when it is asked again."""
    where, client = bucket
    storage = S3Storage(where)
    with storage.writer() as writer:
        writer.write(b"x" * (9 * MIB))
        real = client.complete_multipart_upload
        inner: Any = writer

        def complete(**given: Any) -> Any:
            real(**given)
            return real(**given)

        inner._client = Answering(inner._client, complete)
        stored = writer.commit()
    assert storage.size(stored.key) == 9 * MIB


class Answering:
    """A client with another answer to complete_multipart_upload."""

    def __init__(self, client: Any, complete: Any) -> None:
        self._client = client
        self.complete_multipart_upload = complete

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_failed_commit_leaves_nothing_though_the_server_had_taken_it(bucket: tuple[Bucket, Any]) -> None:
    """Its answers come too late: the object was made, and the caller was told that it was not."""
    where, client = bucket
    with Proxy(address_of(where)) as proxy:
        through = Bucket(where.name, "files/", endpoint=f"http://127.0.0.1:{proxy.port}")
        storage = S3Storage(through, timeout_seconds=3)

        def write() -> None:
            with storage.writer() as writer:
                writer.write(b"x")
                proxy.slow(6.0)
                try:
                    writer.commit()
                finally:
                    assert len(objects(client, where.name)) == 1
                    proxy.slow(0.0)

        with pytest.raises(StorageUnavailable):
            write()
    assert objects(client, where.name) == []


def address_of(bucket: Bucket) -> tuple[str, int]:
    assert bucket.endpoint is not None
    return ("127.0.0.1", int(bucket.endpoint.rpartition(":")[2]))
