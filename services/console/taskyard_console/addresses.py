"""Where the console is, as the reader's browser sees it: its path behind a proxy, its scheme and host, its cookies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import falcon.asgi
import structlog

log = structlog.get_logger(__name__)

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
# Browsers read a backslash as a slash, and skip tabs and ends of lines.
_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class Mounted:
    """The application below `path`. A proxy may pass the path on, or take it off."""

    def __init__(self, app: Any, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = self._path
        if path and scope["type"] == "http" and f"{scope['path']}/".startswith(f"{path}/"):
            scope = {**scope, "path": scope["path"][len(path) :] or "/"}
        await self._app(scope, receive, send)


def local(path: str | None) -> str:
    """`path` where it leads to a page of this console, else its first page: a sign-in redirects nowhere else."""
    return path if path and _LOCAL.fullmatch(path) and not urlsplit(path).netloc else "/"


class Proxies:
    """What those in front of us say of the browser's request; believed of the trusted ones only."""

    def __init__(self, trusted: Sequence[str], address: str | None = None) -> None:
        """`address`: the console's as browsers have it, where that was set."""
        parts = urlsplit(address or "")
        self._own = f"{parts.scheme}://{parts.netloc}".lower() if address else None
        self._has_warned = False
        self._trusted: Networks = [ipaddress.ip_network(one, strict=False) for one in trusted]

    def client(self, req: falcon.asgi.Request) -> str:
        """The browser's address; X-Forwarded-For is read from the right, past every trusted address."""
        address = peer = self._peer(req)
        if req.get_header("X-Forwarded-For") and not self._is_trusted(peer) and not self._has_warned:
            self._has_warned = True  # once: whoever wants to may send it
            log.warning("forwarded_address_ignored", peer=peer, setting="TASKYARD_TRUSTED_PROXIES")
        hops = [hop.strip() for hop in (req.get_header("X-Forwarded-For") or "").split(",") if hop.strip()]
        while hops and self._is_trusted(address):
            address = hops.pop()
        return address

    def origin(self, req: falcon.asgi.Request) -> str:
        """Scheme and host as the browser has them."""
        if self._own is not None:
            return self._own
        scheme, host = req.scheme, req.get_header("Host") or ""
        if self._is_trusted(self._peer(req)):
            scheme = _last(req.get_header("X-Forwarded-Proto")) or scheme
            host = _last(req.get_header("X-Forwarded-Host")) or host
        return f"{scheme}://{host}".lower()

    def _peer(self, req: falcon.asgi.Request) -> str:
        client = req.scope.get("client")
        return str(client[0]) if client else ""

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


def _last(header: str | None) -> str:
    return (header or "").rpartition(",")[2].strip()
