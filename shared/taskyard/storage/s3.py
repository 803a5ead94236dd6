"""Objects in a bucket of S3 or of a server that speaks its protocol.

    <prefix>objects/<two hex digits>/<32 hex digits>

An object appears when its upload is completed: readers find all of it or nothing. A small one is one request; a larger
one is sent in parts while it is written, and its parts are removed where it is not committed. Each request is signed
with the SHA-256 of its body, which the server checks, so bytes that changed on the way are refused.

Keys are random and no object is written twice, so that no conditional writes are needed, which not every server has.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import ClientError

from ..domain.buckets import Bucket
from .interface import ObjectMissing, StorageUnavailable, Stored
from .s3_content import Content
from .s3_errors import code_of, translated, unavailable
from .upkeep import LEFTOVER_AGE, Hourly, try_out

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

log = structlog.stdlib.get_logger(__name__)

_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MIB = 1024 * 1024
_PART_BYTES = 8 * _MIB
# S3 takes 10,000 parts. They grow, so that these hold 440 GB, and small objects need little memory.
_PARTS_OF_A_SIZE = 1000
_READ_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0
_ATTEMPTS = 3
_CONNECTIONS = 32
# Servers of others than AWS ignore the region, but a signature has one.
_ANY_REGION = "us-east-1"


class S3Storage:
    """Objects below the prefix of `bucket`. Safe for many threads and processes, and after a fork.

    Credentials come from where AWS's own tools find them: variables, files, the metadata of the machine. A request is
    given up after `timeout_seconds` without a byte, and tried three times. `now` is the clock (seconds since the
    epoch) that decides when interrupted uploads are old.
    """

    def __init__(self, bucket: Bucket, *, timeout_seconds: float = 30.0, now: Callable[[], float] = time.time) -> None:
        self._bucket = bucket
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._clients: dict[int, S3Client] = {}
        self._hourly = Hourly(self.sweep)

    @property
    def directory(self) -> None:
        return None

    @property
    def _client(self) -> S3Client:
        """One a process: a fork must not share connections with its parent."""
        return self._clients.get(os.getpid()) or self._clients.setdefault(os.getpid(), self._connect())

    def _connect(self) -> S3Client:
        style = self._bucket.path_style
        if style is not None or self._bucket.endpoint is not None:
            return self._client_in("virtual" if style is False else "path")
        client = self._client_in("virtual")
        is_aws = client.meta.endpoint_url.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return client if is_aws else self._client_in("path")  # a variable or a file names another endpoint

    def _client_in(self, style: Literal["path", "virtual"]) -> S3Client:
        config = Config(
            connect_timeout=min(_CONNECT_SECONDS, self._timeout_seconds),
            read_timeout=self._timeout_seconds,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_CONNECTIONS,
            signature_version="s3v4",
            s3={"addressing_style": style, "payload_signing_enabled": True},
            # Not every server takes the checksums in trailers that newer clients send.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with translated():
            session = boto3.Session()
            region = self._bucket.region or session.region_name or _ANY_REGION
            return session.client("s3", endpoint_url=self._bucket.endpoint, region_name=region, config=config)

    @contextmanager
    def writer(self) -> Iterator[S3Writer]:
        self._hourly.turn()
        writer = S3Writer(self._client, self._bucket.name, self._path, secrets.token_hex(16))
        try:
            yield writer
        finally:
            writer.discard()

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        with translated(missing=key):
            content = Content(self._client, self._bucket.name, self._path(key), offset)
        return cast(BinaryIO, io.BufferedReader(content, _READ_BYTES))

    def size(self, key: str) -> int:
        with translated(missing=key):
            return self._client.head_object(Bucket=self._bucket.name, Key=self._path(key))["ContentLength"]

    def delete(self, key: str) -> None:
        with suppress(ObjectMissing), translated(missing=key):
            self._client.delete_object(Bucket=self._bucket.name, Key=self._path(key))

    def check(self) -> None:
        try_out(self)

    def sweep(self) -> int:
        """Removes the parts of interrupted uploads, as a rule of the bucket can too; returns of how many. Raises
        StorageUnavailable."""
        oldest = datetime.fromtimestamp(self._now(), UTC) - LEFTOVER_AGE
        removed = 0
        with translated():
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket.name, Prefix=f"{self._bucket.prefix}objects/"):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < oldest:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket.name, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        removed += 1
        if removed:
            log.info("storage_swept", uploads=removed)
        return removed

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ObjectMissing("not a key of this storage")
        return f"{self._bucket.prefix}objects/{key[:2]}/{key}"


class S3Writer:
    """Sends parts as they fill up: it holds one part in memory."""

    def __init__(self, client: S3Client, bucket: str, path: Callable[[str], str], key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._path = path(key)
        self.key = key
        self._size = 0
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._upload: str | None = None
        self._parts: list[CompletedPartTypeDef] = []
        self._is_sent = False  # whether the server may have the object
        self._committed = False

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self._size += len(data)
        self._waiting += data
        while len(self._waiting) > (room := _PART_BYTES * (1 + len(self._parts) // _PARTS_OF_A_SIZE)):
            part = bytes(memoryview(self._waiting)[:room])
            del self._waiting[:room]
            self._send(part)
        return len(data)

    def commit(self) -> Stored:
        if self._upload is None:
            with translated():
                self._is_sent = True
                self._client.put_object(Bucket=self._bucket, Key=self._path, Body=bytes(self._waiting))
        else:
            self._send(bytes(self._waiting))
            self._complete(self._upload)
        self._waiting.clear()
        self._committed = True
        return Stored(self.key, self._size, self._digest.hexdigest())

    def discard(self) -> None:
        """Removes what was sent, unless the object was committed."""
        if self._committed:
            return
        try:
            with translated(missing=self.key):
                if self._upload is not None:
                    self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._path, UploadId=self._upload)
        except ObjectMissing:
            pass
        except StorageUnavailable:
            log.warning("parts_left", key=self.key)  # until they are swept
        if self._is_sent:
            # The answer of a commit that failed may have got lost: then the object is there.
            try:
                with translated():
                    self._client.delete_object(Bucket=self._bucket, Key=self._path)
            except StorageUnavailable:
                log.warning("object_left", key=self.key)

    def _send(self, part: bytes) -> None:
        with translated():
            if self._upload is None:
                self._upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._path)["UploadId"]
            number = len(self._parts) + 1
            answer = self._client.upload_part(
                Bucket=self._bucket, Key=self._path, UploadId=self._upload, PartNumber=number, Body=part
            )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def _complete(self, upload: str) -> None:
        self._is_sent = True
        try:
            with translated():
                self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._path, UploadId=upload, MultipartUpload={"Parts": self._parts}
                )
        except StorageUnavailable as e:
            # Sent again because its answer got lost: the upload is known no more, for the object is there.
            if not isinstance(e.__cause__, ClientError) or code_of(e.__cause__) != "NoSuchUpload":
                raise
            with translated():
                found = self._client.head_object(Bucket=self._bucket, Key=self._path)["ContentLength"]
            if found != self._size:
                raise unavailable(e.__cause__) from e
