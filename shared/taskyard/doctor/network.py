"""The way to the API: name, connection, TLS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.request import getproxies, proxy_bypass

import httpx2

from .findings import Finding, Verdict, timed

_CONNECT_SECONDS = 5.0
_SLOW_SECONDS = 0.5
_EXPIRES_SOON_DAYS = 14


def check(url: str) -> Iterator[Finding]:
    """Ends behind the first failure. What is reached through a proxy is looked at no further: the proxy resolves the
    name."""
    parsed = httpx2.URL(url)
    host, port = parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80)
    if (proxy := getproxies().get(parsed.scheme)) and not proxy_bypass(host) and not _is_here(host):
        shown = httpx2.URL(proxy).copy_with(username=None, password=None)
        yield Finding("address", Verdict.OK, f"{host}:{port} is reached through the proxy {shown}")
        return
    started = time.perf_counter()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as e:
        yield Finding(
            "address",
            Verdict.FAIL,
            f"the name {host} does not resolve: {e.strerror}",
            do="Check TASKYARD_URL, and the name server of this machine.",
            away=True,
        )
        return
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    resolved = time.perf_counter() - started
    says = host if addresses == [host] else f"{host} is {', '.join(addresses[:3])}"
    yield timed("address", says, resolved, slow_after=_SLOW_SECONDS)
    started = time.perf_counter()
    try:
        with socket.create_connection((host, port), _CONNECT_SECONDS) as plain:
            connected = time.perf_counter() - started
            yield timed("connect", f"port {port} accepts", connected, slow_after=_SLOW_SECONDS)
            if parsed.scheme == "https":
                yield _tls(plain, host)
    except OSError as e:
        yield Finding(
            "connect",
            Verdict.FAIL,
            f"port {port} of {host} does not accept: {e.strerror or e}",
            do="Check that the API, or the proxy before it, runs: `docker compose ps`, `kubectl get pods`.",
            runbook="TaskyardApiDown",
            away=True,
        )


def _tls(plain: socket.socket, host: str) -> Finding:
    started = time.perf_counter()
    try:
        # As the client of the API makes it, so that both believe the same authorities.
        with httpx2.create_ssl_context().wrap_socket(plain, server_hostname=host) as secured:
            certificate = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as e:
        says = f"the certificate is not believed: {e.verify_message}"
        do = "Renew it; for an authority of your own, set SSL_CERT_FILE here."
        return Finding("tls", Verdict.FAIL, says, do=do, away=True)
    except OSError as e:
        says = f"no TLS is spoken on this port: {e.strerror or e}"
        return Finding("tls", Verdict.FAIL, says, do="Check the scheme of TASKYARD_URL, and the proxy.", away=True)
    seconds = time.perf_counter() - started
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    days = (ends - datetime.now(UTC)).days
    says = f"{version}, the certificate is valid for {days} days more"
    if days < _EXPIRES_SOON_DAYS:
        return Finding("tls", Verdict.WARN, says, seconds, do="Renew the certificate.")
    return timed("tls", says, seconds, slow_after=_SLOW_SECONDS)


def _is_here(host: str) -> bool:
    """The client reaches this machine's own addresses without a proxy."""
    return host in {"127.0.0.1", "localhost", "::1"}
