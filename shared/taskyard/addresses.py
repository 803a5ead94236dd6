"""Addresses of servers: their forms, and the errors in them.

Nothing here connects. Every ValueError has one line for people, without the password.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
USUAL_PORT = 26379
_FORM = "redis+sentinel://[user:password@]host:port,host:port/service/db"


def database_url(url: str) -> str:
    """The address with psycopg 3 as its driver; other tools write `postgres://`, `postgresql://`. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError("must be a PostgreSQL URL: postgresql://user:password@host:port/name")
    return f"postgresql+psycopg://{_several_servers(rest)}"


def redis_url(url: str) -> str:
    """The address itself, checked. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"redis", "rediss", "unix", *SENTINEL_SCHEMES}:
        raise ValueError("must be a Redis URL: redis://[:password@]host:port/db")
    if scheme in SENTINEL_SCHEMES:
        parse_sentinel_url(url)
    elif scheme != "unix":
        database = check_port(rest)
        # redis-py silently uses database 0 where it cannot read the number.
        if database and not database.isdecimal():
            raise ValueError("the database in a Redis URL is a number: redis://[:password@]host:port/db")
    return url


def check_authority(file: Path) -> None:
    """Raises ValueError where the file holds no certificates."""
    _with_words(file, lambda: ssl.create_default_context(cafile=file))


def check_certificate(certificate: Path, key: Path) -> None:
    """Raises ValueError where the two do not belong together."""
    context = ssl.create_default_context()
    # OpenSSL would ask on the terminal for the password of an encrypted key.
    _with_words(certificate, lambda: context.load_cert_chain(certificate, key, lambda: b""))


@dataclass(frozen=True, slots=True)
class SentinelURL:
    """`redis+sentinel://[user:password@]host[:port],.../service[/db]`; user and password are those of the servers.
    `rediss+sentinel://` speaks TLS with the Sentinels and with the servers.

    `server_url` has everything but the address of the server, which the Sentinels know.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    server_url: str


def parse_sentinel_url(url: str) -> SentinelURL | None:
    """None for other kinds of addresses. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if scheme not in SENTINEL_SCHEMES:
        return None
    authority, _, path = rest.partition("?")[0].partition("/")
    login, at, hosts = authority.rpartition("@")
    service, _, database = path.rstrip("/").partition("/")
    if not service:
        raise ValueError(f"names no service: {_FORM}")
    if database and not database.isdecimal():
        raise ValueError(f"the database is a number: {_FORM}")
    query = rest.partition("?")[2]
    server_url = f"{scheme.removesuffix('+sentinel')}://{login}{at}/{database or 0}{'?' + query if query else ''}"
    return SentinelURL(tuple(_address(host) for host in hosts.split(",")), service, server_url)


def _address(given: str) -> tuple[str, int]:
    if given.startswith("["):
        host, _, port = given[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = given.partition(":")
    if not host:
        raise ValueError(f"a Sentinel has no host: {_FORM}")
    if port and not (port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError("the port of a Sentinel must be a number from 1 to 65535")
    return host, int(port or USUAL_PORT)


def _several_servers(rest: str) -> str:
    """`login@a:1,b:2/name`, as libpq writes several servers, is `login@/name?host=a:1&host=b:2` to SQLAlchemy."""
    address, mark, query = rest.partition("?")
    authority, slash, name = address.partition("/")
    login, at, servers = authority.rpartition("@")
    hosts = servers.split(",")
    for host in hosts:
        check_port(host)
    if len(hosts) == 1:
        return rest
    return f"{login}{at}{slash}{name}?{'&'.join(f'host={host}' for host in hosts)}{'&' if mark else ''}{query}"


def _with_words(file: Path, load: Callable[[], object]) -> None:
    """Raises ValueError in one line where what TLS needs cannot be loaded."""
    try:
        load()
    except ssl.SSLError as e:
        raise ValueError(f"{file}: not what TLS needs: {e.reason or e}") from None
    except OSError as e:
        raise ValueError(f"cannot read {e.filename or file}: {e.strerror}") from None


def check_port(rest: str) -> str:
    """The path in what follows `scheme://`. Raises ValueError for an invalid port."""
    authority, _, path = rest.partition("?")[0].rpartition("@")[2].partition("/")
    port = authority.rpartition("]")[2].rpartition(":")
    if port[1] and not (port[2].isdecimal() and 0 < int(port[2]) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535")
    return path
