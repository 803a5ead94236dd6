"""The form of the keys in TASKYARD_SECRET_KEYS: those of Fernet."""

from __future__ import annotations

import base64

FORM = (
    "each key must be 32 url-safe base64-encoded bytes (make one with: python -c "
    "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')"
)


def check_key(key: str) -> None:
    """Raises ValueError."""
    try:
        is_one = len(base64.urlsafe_b64decode(key)) == 32
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(FORM)
