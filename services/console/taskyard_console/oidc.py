"""Sign-in at a provider of OpenID Connect: the code flow with PKCE, state and nonce. Of what the provider tells, only
the reader's name and role are kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from .access import ROLES
from .sessions import BY_PROVIDER, Session

log = structlog.get_logger(__name__)

# Never `none`, and nothing symmetric: the client's secret is no signing key.
_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_LEEWAY_SECONDS = 30
_TIMEOUT_SECONDS = 10.0
# For as long as a provider may take to announce a new key.
_KEYS_SECONDS = 300.0
_MAX_NAME = 100


class ProviderAway(Exception):
    """The provider does not answer, or not as one."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """`roles`: the role of each group that the claim names; `*` stands for everybody whom the provider knows."""

    issuer: str
    client_id: str
    client_secret: str
    claim: str
    scopes: str
    roles: Mapping[str, str]


class Provider:
    """`path`: that of the console; the provider has to know its address with `/sign-in/return` behind it."""

    def __init__(self, settings: ProviderSettings, path: str) -> None:
        self._settings = settings
        self._path = path
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = 0.0

    @property
    def roles(self) -> frozenset[str]:
        """All that somebody may have."""
        return frozenset(self._settings.roles.values())

    async def begin(self, origin: str) -> tuple[str, dict[str, str]]:
        """The address to send the reader to, and what has to come back. Raises ProviderAway."""
        try:
            await self._read()
        except (httpx.HTTPError, JoseError, KeyError, ValueError) as e:
            log.warning("provider_away", error=f"{type(e).__name__}: {e}"[:300])
            raise ProviderAway from e
        flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        async with self._client(origin) as client:
            address, _ = client.create_authorization_url(
                self._metadata["authorization_endpoint"],
                state=flow["state"],
                nonce=flow["nonce"],
                code_verifier=flow["verifier"],
            )
        return str(address), flow

    async def end(self, origin: str, flow: Mapping[str, str], returned: Mapping[str, Any]) -> Session | None:
        """The session of the reader who came back; None where anything does not fit."""
        code, state = returned.get("code"), returned.get("state")
        if not isinstance(code, str) or not isinstance(state, str):
            return None
        if not secrets.compare_digest(state.encode(), flow.get("state", "").encode()) or not state:
            return None
        try:
            await self._read()
            async with self._client(origin) as client:
                token = await client.fetch_token(
                    self._metadata["token_endpoint"], code=code, code_verifier=flow["verifier"]
                )
            try:
                claims = self._claims(token, flow["nonce"])
            except (JoseError, ValueError):  # no key of this id: the provider may have a new one
                await self._read(anew=True)
                claims = self._claims(token, flow["nonce"])
        except (AuthlibBaseError, JoseError, httpx.HTTPError, KeyError, ValueError) as e:
            log.warning("sign_in_refused", error=f"{type(e).__name__}: {e}"[:300])
            return None
        role = self._role(claims)
        name = _name_of(claims)
        if role is None:
            log.warning("sign_in_without_role", name=name)
            return None
        return Session(name=name, role=role, way=BY_PROVIDER)

    def _claims(self, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        assert self._keys is not None
        decoded = jwt.decode(token["id_token"], self._keys, algorithms=list(_ALGORITHMS))
        settings = self._settings
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": self._metadata["issuer"]},
                "aud": {"essential": True, "value": settings.client_id},
            },
            {"nonce": nonce, "client_id": settings.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(now=int(time.time()), leeway=_LEEWAY_SECONDS)
        return dict(claims)

    def _role(self, claims: Mapping[str, Any]) -> str | None:
        """The one that allows most, of all groups that the claim names."""
        told = claims.get(self._settings.claim) or []
        groups = {told} if isinstance(told, str) else {str(one) for one in told}
        roles = {role for group, role in self._settings.roles.items() if group == "*" or group in groups}
        return max(roles, key=list(ROLES).index, default=None)

    async def _read(self, *, anew: bool = False) -> None:
        """The provider's description and keys. Raises httpx.HTTPError, ValueError."""
        if not anew and self._keys is not None and time.monotonic() - self._read_at < _KEYS_SECONDS:
            return
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
            issuer = self._settings.issuer.rstrip("/")
            metadata = (await client.get(f"{issuer}/.well-known/openid-configuration")).raise_for_status().json()
            if str(metadata["issuer"]).rstrip("/") != issuer:
                raise ValueError("the provider calls itself by another name than TASKYARD_CONSOLE_OIDC_ISSUER")
            keys = (await client.get(metadata["jwks_uri"])).raise_for_status().json()
        self._metadata, self._keys, self._read_at = metadata, KeySet.import_key_set(keys), time.monotonic()

    def _client(self, origin: str) -> Any:
        settings = self._settings
        return AsyncOAuth2Client(
            client_id=settings.client_id,
            client_secret=settings.client_secret or None,
            token_endpoint_auth_method="client_secret_basic" if settings.client_secret else "none",
            scope=settings.scopes,
            redirect_uri=f"{origin}{self._path}/sign-in/return",
            code_challenge_method="S256",
            timeout=_TIMEOUT_SECONDS,
        )


def _name_of(claims: Mapping[str, Any]) -> str:
    """What the API takes for a name, and no page is disordered by: at many providers, people choose theirs."""
    told = (claims.get("preferred_username"), claims.get("email"), claims["sub"])
    names = ("".join(filter(str.isprintable, str(one or ""))).strip()[:_MAX_NAME] for one in told)
    return next(filter(None, names), "?")
