"""How the API is reached."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx2

# A follower, or a wait, keeps its connection until the end. With the 100 connections that httpx2 allows, a hundred of
# them would keep every other call from being sent.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
# A proxy named by the environment does not reach this machine's own addresses.
_NO_PROXY = ("127.0.0.1", "localhost", "[::1]")


def options_of(url: str, key: str | None) -> dict[str, Any]:
    """What httpx2's two clients take. Raises ValueError for what is no address of a server, and for what is no key."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the address of the API begins with http:// or https://, this one is {url!r}")
    try:
        host = httpx2.URL(url).host
    except httpx2.InvalidURL as e:
        raise ValueError(f"{url!r} is no address of an API: {e}") from None
    if not host:
        raise ValueError(f"{url!r} is no address of an API: it names no host")
    headers = {"User-Agent": f"taskyard-client/{_version()}", "Accept": "application/json"}
    if key is not None:
        # The file of a key ends in a newline. httpx2 would refuse other such characters with the key in its words.
        key = key.strip()
        if not (key.isascii() and key.isprintable() and key and " " not in key):
            raise ValueError("the API key is empty, or has characters that no key has")
        headers["Authorization"] = f"Bearer {key}"
    return {
        "base_url": f"{url.rstrip('/')}/api/v1/",
        "headers": headers,
        "limits": _LIMITS,
        "mounts": {f"all://{host}": None for host in _NO_PROXY},
    }


def _version() -> str:
    try:
        return version("taskyard-client")
    except PackageNotFoundError:  # run from its sources
        return "0"
