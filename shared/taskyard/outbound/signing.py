"""Standard Webhooks 1.0 (https://www.standardwebhooks.com): secrets, and the headers that sign a message."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"


def make_secret() -> str:
    """256 random bits, as receivers are given them."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(message_id: str, at: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """The headers of a message that is sent `at` (seconds since 1970), with one signature for each of the secrets."""
    content = f"{message_id}.{at}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{_signature(key, content)}" for key in keys),
    }


def _signature(key: str, content: bytes) -> str:
    raw = base64.b64decode(key.removeprefix(_PREFIX))
    return base64.b64encode(hmac.digest(raw, content, hashlib.sha256)).decode()
