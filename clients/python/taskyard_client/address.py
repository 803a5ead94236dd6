"""How the API is reached."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

import httpx2

# A follower, or a wait, keeps its connection until the end. With the 100 connections that httpx2 allows, a hundred of
# them would keep every other call from being sent.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
# A proxy named by the environment does not reach this machine's own addresses.
_NO_PROXY = ("127.0.0.1", "localhost", "[::1]")
# Of X-On-Behalf-Of.
_MAX_PERSON = 128


def options_of(url: str, key: str | None, language: str | None = None) -> dict[str, Any]:
    """What httpx2's two clients take. Raises ValueError for what is no address of a server, no key, no
    language."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the address of the API begins with http:// or https://, this one is {url!r}")
    try:
        host = httpx2.URL(url).host
    except httpx2.InvalidURL as e:
        raise ValueError(f"{url!r} is no address of an API: {e}") from None
    if not host:
        raise ValueError(f"{url!r} is no address of an API: it names no host")
    headers = {"User-Agent": f"taskyard-client/{_version()}", "Accept": "application/json"}
    if language is not None:
        if not (language.isascii() and language.isprintable()):
            raise ValueError(f"{language!r} is no language: give a tag as 'de', or what Accept-Language takes")
        headers["Accept-Language"] = language
    if key is not None:
        headers["Authorization"] = authorization(key)
    return {
        "base_url": f"{url.rstrip('/')}/api/v1/",
        "headers": headers,
        "limits": _LIMITS,
        "mounts": {f"all://{host}": None for host in _NO_PROXY},
    }


def authorization(key: str) -> str:
    """The header's value. Raises ValueError for what is no key."""
    # The file of a key ends in a newline. httpx2 would refuse other such characters with the key in its words.
    key = key.strip()
    if not (key.isascii() and key.isprintable() and key and " " not in key):
        raise ValueError("the API key is empty, or has characters that no key has")
    return f"Bearer {key}"


def headers_of(key: str, on_behalf_of: str | None, language: str | None) -> dict[str, str]:
    """The headers of one reader's calls. Raises ValueError for what is no key, no name and no language."""
    headers = {"Authorization": authorization(key)}
    if on_behalf_of is not None:
        if not (1 <= len(on_behalf_of) <= _MAX_PERSON and on_behalf_of.isprintable()):
            raise ValueError(f"on_behalf_of has 1 to {_MAX_PERSON} printable characters")
        headers["X-On-Behalf-Of"] = quote(on_behalf_of, safe=" @")
    if language is not None:
        if not (language.isascii() and language.isprintable()):
            raise ValueError("language is a value of the header Accept-Language, such as de or fr-CH")
        headers["Accept-Language"] = language
    return headers


def _version() -> str:
    try:
        return version("taskyard-client")
    except PackageNotFoundError:  # run from its sources
        return "0"
