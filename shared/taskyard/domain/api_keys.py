"""The form of an API key: `ty_`, a prefix of 8 characters to look it up by, and 256 random bits."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass

_FORM = re.compile(r"ty_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A whole key: `text` is shown once; only `digest` is stored."""

    text: str
    prefix: str
    digest: bytes


def make_key() -> ApiKey:
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return read_key(f"ty_{prefix}_{secrets.token_urlsafe(32)}")


def read_key(text: str) -> ApiKey:
    """Raises ValueError where the text does not have the form of a key."""
    prefix = prefix_of(text)
    if prefix is None:
        raise ValueError("a key is ty_<8 lower-case letters or digits>_<43 base64url characters>")
    return ApiKey(text, prefix, digest_of(text))


def prefix_of(text: str) -> str | None:
    """The prefix of the key; None where the text does not have the form of one."""
    match = _FORM.fullmatch(text)
    return None if match is None else match[1]


def digest_of(text: str) -> bytes:
    """SHA-256 is enough: a secret of 256 random bits cannot be guessed."""
    return hashlib.sha256(text.encode()).digest()
