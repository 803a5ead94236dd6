"""What the errors of an S3 server mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection

from ..domain.failures import PHRASES
from .interface import ObjectMissing, StorageUnavailable

log = structlog.stdlib.get_logger(__name__)

_MISSING = {"NoSuchKey", "NotFound", "404", "PreconditionFailed", "412"}

# What is wrong, by the code of the answer: names of phrases. AWS, Ceph and MinIO each have their own for a full store.
PHRASE_OF_CODE = {
    "NoSuchBucket": "storage_no_bucket",
    "QuotaExceeded": "storage_quota",
    "ServiceQuotaExceededException": "storage_quota",
    "XMinioAdminBucketQuotaExceeded": "storage_quota",
    "XMinioStorageFull": "storage_full",
    "InsufficientStorage": "storage_full",
    "EntityTooLarge": "storage_file_too_large",
    "AccessDenied": "storage_forbidden",
    "AccountProblem": "storage_forbidden",
    "AllAccessDisabled": "storage_forbidden",
    "ExpiredToken": "storage_forbidden",
    "InvalidAccessKeyId": "storage_forbidden",
    "InvalidToken": "storage_forbidden",
    "SignatureDoesNotMatch": "storage_forbidden",
    "SlowDown": "storage_overloaded",
}
PHRASE_OF_STATUS = {
    401: "storage_forbidden",
    403: "storage_forbidden",
    429: "storage_overloaded",
    503: "storage_overloaded",
    507: "storage_full",
}
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError)
_UNREACHABLE = "storage_unreachable"


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def unavailable(error: BotoCoreError | ClientError) -> StorageUnavailable:
    """The error as the storage's own; the log has the server's words."""
    phrase: str | None = None
    code = ""
    if isinstance(error, ClientError):
        code = code_of(error)
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        phrase = PHRASE_OF_CODE.get(code) or PHRASE_OF_STATUS.get(status) or (_UNREACHABLE if status >= 500 else None)
    elif isinstance(error, _NO_CREDENTIALS):
        phrase = "storage_forbidden"
    elif isinstance(error, HTTPClientError | NoConnection):
        phrase = _UNREACHABLE
    log.warning("storage_failed", error=str(error))
    words = PHRASES[phrase] if phrase else f"the storage failed: {code or type(error).__name__}"
    return StorageUnavailable(words, phrase=phrase)


@contextmanager
def translated(*, missing: str | None = None) -> Iterator[None]:
    """Translates the errors of botocore. `missing`: the object that does not exist where the server says so."""
    try:
        yield
    except ClientError as e:
        if missing is not None and code_of(e) in _MISSING:
            raise ObjectMissing(missing) from None
        raise unavailable(e) from e
    except BotoCoreError as e:
        raise unavailable(e) from e
