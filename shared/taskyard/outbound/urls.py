"""Addresses that callers give for requests, as `http` and `https` have them.

One parser for all: what is checked is what is connected to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urljoin, urlsplit

from ..domain.messages import message

MAX_URL = 2_048
_PORTS = {"http": 80, "https": 443}
# Printable ASCII without blanks and without what parsers read differently: a backslash, quotes, brackets of markup.
_TEXT = re.compile(r"[!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_DOT = re.compile("%2e", re.IGNORECASE)
# Servers that decode before they resolve a path find these in it.
_SEPARATOR = re.compile("/|%2f|%5c", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Url:
    """`target` is the path with the query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """As the header Host has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host, where it is an address and no name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    def __str__(self) -> str:
        return self.origin + self.target

    def lies_under(self, base: Url) -> bool:
        """Whether it has the origin of `base`, and its path or one below it."""
        prefix = base.path.rstrip("/")
        return self.origin == base.origin and (self.path == prefix or self.path.startswith(f"{prefix}/"))

    def redirected(self, location: str) -> Url:
        """Where a redirect leads. Raises ValueError, also where it leaves TLS."""
        target = read_url(urljoin(str(self), location).partition("#")[0])
        if self.scheme == "https" and target.scheme != "https":
            raise ValueError("a redirect leaves TLS")
        return target


def read_url(text: str) -> Url:
    """Raises ValueError with what is wrong, for people."""
    if len(text) > MAX_URL:
        raise ValueError(message("Must have at most {limit} characters.", limit=MAX_URL))
    if not _TEXT.fullmatch(text):
        raise ValueError(
            message(
                "Must be printable ASCII without blanks; write other characters percent-encoded, and names of hosts in"
                " Punycode."
            )
        )
    try:
        parts = urlsplit(text)
    except ValueError:  # unbalanced brackets
        raise ValueError(message("Must name a host.")) from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise ValueError(message("Must begin with https:// or http://."))
    if "@" in parts.netloc:
        raise ValueError(message("Must not hold a name or a password."))
    host, port = _split(parts.netloc.lower())
    path = parts.path or "/"
    if {".", ".."} & {_DOT.sub(".", segment) for segment in _SEPARATOR.split(path)}:
        raise ValueError(message("Must not have the segments . or .. in its path."))
    target = f"{path}?{parts.query}" if parts.query else path
    return Url(scheme, host, int(port) if port else _PORTS[scheme], target)


def _split(netloc: str) -> tuple[str, str]:
    """Host and port. Raises ValueError."""
    if netloc.startswith("["):
        inner, closed, rest = netloc[1:].partition("]")
        host, colon, port = _ipv6(inner) if closed and "%" not in inner else "", rest[:1], rest[1:]
        if colon not in {"", ":"}:
            host = ""
    else:
        host, colon, port = netloc.partition(":")
        host = host if _HOST.fullmatch(host) else ""
    if not host:
        raise ValueError(message("Must name a host."))
    if colon and not (_PORT.fullmatch(port) and int(port) <= 65_535):
        raise ValueError(message("The port must be a number from 1 to 65535."))
    return host, port


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        return ""
