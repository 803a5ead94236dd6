"""The service account: its key file, and the signed assertion that Google gives a token for.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from taskyard import TaskError

# The most that Google accepts between `iat` and `exp`.
_LIFE_SECONDS = 3600
_MOST_BYTES = 64 * 1024  # of a key file, which has 2.4 KB


@dataclass(frozen=True, slots=True)
class Account:
    """`email` is what people share their spreadsheets with."""

    email: str
    key_id: str
    key: RSAPrivateKey = field(repr=False)

    def assertion(self, audience: str, scopes: Sequence[str], now: float) -> str:
        """A JWT (RFC 7523), signed by RS256; `now` in seconds of the epoch."""
        claims = {"iss": self.email, "scope": " ".join(scopes), "aud": audience}
        times = {"iat": int(now), "exp": int(now) + _LIFE_SECONDS}
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        signed = b".".join(_encoded(orjson.dumps(part)) for part in (head, claims | times))
        return (signed + b"." + _encoded(self.key.sign(signed, PKCS1v15(), hashes.SHA256()))).decode()


def read_account(path: Path | None) -> Account:
    """The account of a key file, as Google Cloud's console gives it out. Raises TaskError `gsheet_not_configured`, and
    `gsheet_key_unusable` where the file is missing, cannot be read, or is no key of a service account."""
    if path is None:
        raise TaskError("gsheet_not_configured", retryable=False)
    try:
        with path.open("rb") as file:
            content: Any = orjson.loads(file.read(_MOST_BYTES))
        if content["type"] != "service_account":
            raise ValueError("of another type")
        key = load_pem_private_key(content["private_key"].encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise TypeError("no RSA key")
        return Account(str(content["client_email"]), str(content["private_key_id"]), key)
    except Exception:  # noqa: BLE001 - not chained: the libraries quote what they read, and this is a secret
        raise TaskError("gsheet_key_unusable", retryable=False) from None


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
