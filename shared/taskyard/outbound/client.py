"""`request`: one HTTP request to an address that a caller gave.

The name is resolved once, every address that comes back is checked, and the connection goes to one of these addresses,
with the name in Host and in TLS. So a name that changes its address between check and connection (DNS rebinding) gains
nothing. Time and size are bounded, redirects are followed within the same rules, and proxies of the environment are
not used.

It is a coroutine: a receiver that is slow holds no thread, beside the one that looks its name up. A plain function
calls it by `asyncio.run`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import httpx

from ..version import __version__
from .networks import Address, Networks
from .urls import Url

_MAX_ADDRESSES = 3  # of a name, are tried one after the other
_ALWAYS_FOLLOWED = {307, 308}  # with the same method and body
_FOLLOWED_BY_GET = {301, 302, 303}
_FOR_ONE_ORIGIN = {"authorization", "cookie"}

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class AddressRefused(Exception):
    """The host is, or resolves to, an address that is not public and not allowed."""


class Unanswered(Exception):
    """No answer, or none of HTTP. `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


REASONS = {
    "unresolved": "the name of the host is not known",
    "unreachable": "no connection",
    "tls": "the certificate of the host is not valid",
    "slow": "no answer in time",
    "broken": "the connection ended before the answer, or the answer is not HTTP",
    "redirects": "it redirects too often, or to where this may not follow",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """`read_seconds` is for each piece of the answer, `total_seconds` for everything, redirects included."""

    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 20.0
    most_bytes: int = 64 * 1024
    redirects: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_cut`: the body is longer than what was read of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool


async def resolved(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, in the order in which they should be tried. Raises OSError, UnicodeError.

    A look-up cannot be broken off. So it has a thread of its own: a name server that never answers would otherwise hold
    the threads that all coroutines share, and `asyncio.run` would wait for it in the end.
    """
    found: Future[list[Any]] = Future()
    found.set_running_or_notify_cancel()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP))
        except BaseException as e:  # noqa: BLE001 - it belongs to the coroutine
            found.set_exception(e)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in await asyncio.wrap_future(found)))


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """The certificates that this host trusts, or those of SSL_CERT_FILE. Reading them takes tens of milliseconds."""
    return ssl.create_default_context()


async def request(
    method: str,
    url: Url,
    *,
    networks: Networks,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    bounds: Bounds = Bounds(),
    resolve: Resolve = resolved,
    tls: Callable[[], ssl.SSLContext] = trusted,
) -> Answer:
    """The answer, whatever its status. Raises AddressRefused and Unanswered."""
    sent = {"User-Agent": f"taskyard/{__version__}", "Accept": "*/*", **(headers or {})}
    # Nothing is kept open between requests, and nothing is unpacked.
    sent |= {"Accept-Encoding": "identity", "Connection": "close"}
    try:
        async with asyncio.timeout(bounds.total_seconds):
            for _ in range(bounds.redirects + 1):
                addresses = await _checked(url, networks, resolve)
                answer = await _sent_to_any(addresses, method, url, sent, content, bounds, tls)
                if not _is_followed(answer.status, method) or "location" not in answer.headers:
                    return answer
                target = _redirected(url, answer.headers["location"])
                if target.origin != url.origin:
                    sent = {name: value for name, value in sent.items() if name.lower() not in _FOR_ONE_ORIGIN}
                url = target
    except TimeoutError:
        raise Unanswered("slow") from None
    raise Unanswered("redirects")


def _is_followed(status: int, method: str) -> bool:
    return status in _ALWAYS_FOLLOWED or (status in _FOLLOWED_BY_GET and method in {"GET", "HEAD"})


def _redirected(url: Url, location: str) -> Url:
    try:
        return url.redirected(location)
    except ValueError:
        raise Unanswered("redirects") from None


async def _checked(url: Url, networks: Networks, resolve: Resolve) -> Sequence[Address]:
    """The addresses of the host. One that is refused refuses all: no name of the Internet has both kinds."""
    try:
        addresses = [url.address] if url.address is not None else await resolve(url.host, url.port)
    except TimeoutError:  # an OSError as well, and that of the whole request
        raise
    except (OSError, UnicodeError, ValueError):
        raise Unanswered("unresolved") from None
    if not all(map(networks.admit, addresses)):
        raise AddressRefused(f"{url.host} has an address that is not public")
    return addresses[:_MAX_ADDRESSES]


async def _sent_to_any(
    addresses: Sequence[Address],
    method: str,
    url: Url,
    headers: Mapping[str, str],
    content: bytes,
    bounds: Bounds,
    tls: Callable[[], ssl.SSLContext],
) -> Answer:
    """The answer of the first address that takes a connection."""
    times = httpx.Timeout(bounds.read_seconds, connect=bounds.connect_seconds)
    failure = Unanswered("unreachable")
    async with httpx.AsyncClient(verify=tls(), trust_env=False, timeout=times) as client:
        for address in addresses:
            prepared = client.build_request(
                method,
                httpx.URL(scheme=url.scheme, host=str(address), port=url.port, raw_path=url.target.encode()),
                headers={**headers, "Host": url.authority},
                content=content,
                extensions={"sni_hostname": url.host.rstrip(".")},  # certificates have names without the root's dot
            )
            try:
                answer = await client.send(prepared, stream=True)
                try:
                    return await _read(answer, bounds.most_bytes)
                finally:
                    await answer.aclose()
            except httpx.ConnectTimeout:
                failure = Unanswered("slow")
            except httpx.ConnectError as e:
                if _is_of_tls(e):
                    raise Unanswered("tls") from None
            except httpx.TimeoutException:
                raise Unanswered("slow") from None
            except httpx.TransportError:
                raise Unanswered("broken") from None
    raise failure


async def _read(answer: httpx.Response, most: int) -> Answer:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece[: most + 1 - len(body)]
        if len(body) > most:
            break
    return Answer(answer.status_code, answer.headers, bytes(body[:most]), len(body) > most)


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
