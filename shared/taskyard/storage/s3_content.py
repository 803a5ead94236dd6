"""The content of an object as a file. It streams, and can be read from another place, by another request."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import structlog
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from ..domain.failures import PHRASES
from .interface import StorageUnavailable
from .s3_errors import code_of, translated

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

log = structlog.stdlib.get_logger(__name__)

# Without a byte in between.
_TRIES = 3


class Content(io.RawIOBase):
    """Reads go on where a connection was cut. The entity tag makes sure that it is the same object."""

    def __init__(self, client: S3Client, bucket: str, path: str, offset: int) -> None:
        super().__init__()
        self._client = client
        self._bucket = bucket
        self._path = path
        self._position = offset
        self._size = 0
        self._tag: str | None = None
        self._body: StreamingBody | None = self._request(offset)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        for _ in range(_TRIES):
            if self._position >= self._size or not len(view):
                return 0
            try:
                with translated(missing=self._path):
                    self._body = self._body or self._request(self._position)
                data = self._body.read(len(view)) if self._body is not None else b""
                if data:
                    view[: len(data)] = data
                    self._position += len(data)
                    return len(data)
            except (HTTPClientError, IncompleteReadError, OSError) as e:
                log.warning("storage_read_cut", error=str(e), at=self._position)
            except BaseException:
                self._drop()  # an interrupt may have taken bytes with it
                raise
            self._drop()
        raise StorageUnavailable(PHRASES["storage_unreachable"], phrase="storage_unreachable")

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the object")
        if base + offset != self._position:
            self._drop()
            self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _request(self, offset: int) -> StreamingBody | None:
        """None where the object has nothing at that offset."""
        wanted: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
        if self._tag is not None:
            wanted["IfMatch"] = self._tag
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._path, **wanted)
        except ClientError as e:
            if code_of(e) in {"InvalidRange", "416"}:
                self._size = offset
                return None
            raise
        # Some servers, and proxies before them, send the whole object whatever range is asked for.
        if offset and not answer.get("ContentRange", "").startswith(f"bytes {offset}-"):
            answer["Body"].close()
            log.warning("storage_sent_another_range", wanted=offset)
            raise StorageUnavailable(PHRASES["storage_wrong"], phrase="storage_wrong")
        self._tag = answer["ETag"]
        self._size = offset + answer["ContentLength"]
        return answer["Body"]
