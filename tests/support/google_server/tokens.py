"""The token endpoint: https://developers.google.com/identity/protocols/oauth2/service-account#httprest"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EMAIL = "taskyard@tests.iam.gserviceaccount.com"
KEY_ID = "f0e1d2c3"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def account_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def write_key_file(path: Path, token_url: str, key: RSAPrivateKey | None = None) -> Path:
    """As Google Cloud's console gives it out."""
    pem = (key or account_key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    content = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": KEY_ID,
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": token_url,
    }
    path.write_text(json.dumps(content))
    return path


class Refused(Exception):
    """`error` and `error_description` of RFC 6749, 5.2."""


@dataclass
class Tokens:
    """Gives tokens to signed assertions; `audience` is its own address."""

    audience: str
    life_seconds: int = 3599
    given: dict[str, tuple[float, frozenset[str]]] = field(default_factory=dict)

    def grant(self, form: dict[str, str]) -> dict[str, Any]:
        """Raises Refused."""
        if form.get("grant_type") != GRANT:
            raise Refused("unsupported_grant_type", "Invalid grant_type: " + form.get("grant_type", ""))
        claims = self._verified(form.get("assertion", ""))
        scopes = frozenset(claims["scope"].split())
        if not scopes:
            raise Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.given[token] = (time.time() + self.life_seconds, scopes)
        return {"access_token": token, "expires_in": self.life_seconds, "token_type": "Bearer"}

    def scopes_of(self, authorization: str) -> frozenset[str] | None:
        """None where the token is not known or has expired."""
        until, scopes = self.given.get(authorization.removeprefix("Bearer "), (0.0, frozenset()))
        return scopes if until > time.time() else None

    def _verified(self, assertion: str) -> dict[str, Any]:
        try:
            head, body, signature = assertion.split(".")
            header, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
            signed = f"{head}.{body}".encode()
            account_key().public_key().verify(_decoded(signature), signed, PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature):
            raise Refused("invalid_grant", "Invalid JWT Signature.") from None
        if (header["alg"], header["kid"]) != ("RS256", KEY_ID) or claims["aud"] != self.audience:
            raise Refused("invalid_grant", "Invalid JWT: audience or key.")
        if claims["iss"] != EMAIL:
            raise Refused("invalid_grant", "Invalid grant: account not found")
        now = time.time()
        if not (claims["iat"] - 60 <= now < claims["exp"] <= claims["iat"] + 3600):
            raise Refused(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            )
        return dict(claims)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
