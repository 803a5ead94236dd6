"""The composition root: the parts of the console, made from its settings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx2
import structlog
from cryptography.fernet import Fernet

from taskyard.settings import Settings
from taskyard.telemetry.exports import NO_EXPORTS, Exports
from taskyard.telemetry.metrics import Metrics
from taskyard_client import OwnKey
from taskyard_client.retries import Retries

from .access import Accesses
from .addresses import Mounted, Proxies
from .app import create_app
from .basic import Basic
from .calls import MeasuredClient
from .cookies import Cookies
from .lifespan import Lifespan
from .links import Links
from .live import Live
from .meters import MeasuredPages, Meters
from .oidc import Provider, ProviderSettings
from .pages import signing_in
from .pages.plain import HealthReady
from .passwords import Checks, Users
from .problems import Problems
from .rendering import Rendering, read_static
from .routes import SIGN_IN, page_routes, plain_routes, sign_in_routes
from .sessions import Sessions, Vault
from .tries import Tries
from .visits import Visits
from .ways import Ways
from .words import read_catalogues

log = structlog.get_logger(__name__)

# A reader waits for a page; what the API does not answer by then is said.
_RETRIES = Retries(attempts=2, seconds=15)


@dataclass(frozen=True, slots=True)
class Service:
    """The application, and what the server around it needs."""

    app: Any
    live: Live
    ready: HealthReady
    metrics: Metrics


def vault_of(settings: Settings) -> Vault:
    keys = [key.get_secret_value() for key in settings.console_secrets]
    return Vault(keys or [Fernet.generate_key().decode()], clock=lambda: int(time.time()))


def provider_of(settings: Settings) -> Provider | None:
    if settings.console_oidc_issuer is None:
        return None
    secret = settings.console_oidc_client_secret
    return Provider(
        ProviderSettings(
            issuer=settings.console_oidc_issuer,
            client_id=settings.console_oidc_client_id,
            client_secret=secret.get_secret_value() if secret else "",
            claim=settings.console_oidc_claim,
            scopes=settings.console_oidc_scopes,
            roles=dict(pair.rsplit(":", 1) for pair in settings.console_oidc_roles),
        ),
        settings.console_path,
    )


def build(
    settings: Settings, exports: Exports = NO_EXPORTS, transport: httpx2.AsyncBaseTransport | None = None
) -> Service:
    """`transport`: how the API is reached, where not by its address. Raises ValueError for a wrong setting."""
    if not settings.console_secrets:
        log.warning("sessions_end_with_the_process", missing="TASKYARD_CONSOLE_SECRETS")
    own_key = settings.console_api_key.get_secret_value() if settings.console_api_key else None
    users = Users.read(settings.console_users.get_secret_value() if settings.console_users else "")
    provider, vault = provider_of(settings), vault_of(settings)
    metrics, events = Metrics("console", dependencies=()), Live(settings.url, own_key)
    catalogues, static, path = read_catalogues(), read_static(), settings.console_path
    rendering, ready = Rendering(catalogues, static, path=path, read_only=settings.console_read_only), HealthReady()
    pages = {**plain_routes(static, ready, events), **page_routes(rendering, settings.console_trace_url)}
    meters = Meters(metrics, pages=[*pages, *SIGN_IN], live_pages=lambda: events.pages)
    client = MeasuredClient(settings.url, meters.called, retries=_RETRIES, transport=transport)

    async def who_am_i(key: str) -> OwnKey:
        return await client.with_key(key).own_key()

    with_keys = settings.console_sign_in_with_keys
    ways = Ways(users, frozenset() if provider is None else provider.roles, with_keys)
    accesses = Accesses(who_am_i, ways, own_key=own_key, read_only=settings.console_read_only)
    cookies = Cookies(Sessions(vault, settings.console_session_life), vault, path)
    checks, tries, refused = Checks(users) if users else None, Tries(), meters.sign_ins_refused
    sign_in = signing_in.SignIn(rendering, accesses, checks, provider, tries, with_keys, refused)
    routes = {**pages, **sign_in_routes(sign_in, accesses, Links(vault), provider, refused)}
    proxies = Proxies(settings.trusted_proxies, settings.console_url)
    basic = None if checks is None else Basic(checks, tries)
    visits = Visits(accesses, cookies, proxies, catalogues, client, basic)
    problems = Problems(rendering, accesses, exports.reports)
    app = create_app(routes, MeasuredPages(meters), visits, Lifespan(live=events, client=client), problems)
    return Service(Mounted(app, path), events, ready, metrics)
