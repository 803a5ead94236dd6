"""`taskyard-console check`: whether the console would find everything that it needs."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from taskyard.settings import Settings, is_production
from taskyard_client import Client, OwnKey
from taskyard_client.errors import ApiAway, ApiRefused, NotAllowed
from taskyard_client.retries import Retries

from .access import ALL, ROLES
from .passwords import Users

_PATIENCE_SECONDS = 5.0
_NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    says: str
    away: bool = False


def check(settings: Settings, transport: httpx2.BaseTransport | None = None) -> list[Check]:
    """`transport`: how the API is reached, where not by its address."""
    found = [_sign_in(settings), _cookies(settings)]
    if settings.console_oidc_issuer is not None:
        found.append(_provider(settings.console_oidc_issuer))
    return [*found, *_api(settings, transport)]


def _users(settings: Settings) -> Users:
    """Raises ValueError."""
    return Users.read(settings.console_users.get_secret_value() if settings.console_users else "")


def _sign_in(settings: Settings) -> Check:
    try:
        users = _users(settings)
    except ValueError as e:
        return Check("sign-in", ok=False, says=f"TASKYARD_CONSOLE_USERS: {e}")
    ways = [
        *(["API keys"] if settings.console_sign_in_with_keys else []),
        *(["passwords"] if users else []),
        *(["OpenID Connect"] if settings.console_oidc_issuer else []),
    ]
    if not ways:
        return Check("sign-in", ok=False, says="nobody can sign in: every way to is off")
    return Check("sign-in", ok=True, says=f"with {', '.join(ways)}")


def _cookies(settings: Settings) -> Check:
    if not settings.console_secrets:
        return Check("cookies", ok=False, says="TASKYARD_CONSOLE_SECRETS is not set: sessions end with the process")
    if is_production(settings.app_env) and not (settings.console_url or "").startswith("https://"):
        says = "TASKYARD_CONSOLE_URL does not begin with https://: cookies are not kept to HTTPS"
        return Check("cookies", ok=False, says=says)
    return Check("cookies", ok=True, says=f"of {settings.console_address}")


def _provider(issuer: str) -> Check:
    try:
        with httpx2.Client(timeout=_PATIENCE_SECONDS) as client:
            client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration").raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as e:
        return Check("provider", ok=False, says=f"{issuer} does not answer as one: {e}", away=True)
    return Check("provider", ok=True, says=f"{issuer} answers")


def _api(settings: Settings, transport: httpx2.BaseTransport | None) -> list[Check]:
    key = settings.console_api_key
    try:
        with Client(
            settings.url,
            _NO_KEY if key is None else key.get_secret_value(),
            retries=Retries(attempts=1, seconds=_PATIENCE_SECONDS),
            transport=transport,
        ) as client:
            told = client.own_key()
    except ApiAway as e:
        return [Check("api", ok=False, says=f"{settings.url}: {e}", away=True)]
    except NotAllowed as e:
        answers = Check("api", ok=True, says=f"{settings.url} answers")
        return [answers] if key is None else [answers, _refused(e)]
    except ApiRefused as e:
        return [Check("api", ok=False, says=f"{settings.url}: {e}", away=True)]
    return [Check("api", ok=True, says=f"{settings.url} answers"), _own_key(settings, told)]


def _refused(error: ApiRefused) -> Check:
    return Check("key", ok=False, says=f"TASKYARD_CONSOLE_API_KEY is refused: {error}")


def _own_key(settings: Settings, told: OwnKey) -> Check:
    roles = {*_roles_of_users(settings), *(pair.rpartition(":")[2] for pair in settings.console_oidc_roles)}
    wanted = frozenset().union(*(ROLES[role] for role in roles))
    scopes = ALL if "admin" in told.scopes else frozenset(told.scopes)
    if missing := sorted(wanted - scopes):
        return Check("key", ok=False, says=f"{told.name} lacks {', '.join(missing)}, which roles of readers have")
    if told.queues is not None:
        says = f"{told.name} sees {', '.join(told.queues)} only: live pages of other queues do not update"
        return Check("key", ok=False, says=says)
    return Check("key", ok=True, says=f"{told.name} may {', '.join(told.scopes)}")


def _roles_of_users(settings: Settings) -> frozenset[str]:
    try:
        return _users(settings).roles
    except ValueError:  # `_sign_in` says it
        return frozenset()
