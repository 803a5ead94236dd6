"""Mail addresses and one-line texts as parameters. None of them can inject a header into a mail."""

from __future__ import annotations

import re
import unicodedata

from pydantic_core import Url, ValidationError

from ..domain.messages import message

# RFC 5322 dot-atom, with letters beyond ASCII by RFC 6531. Quoted local parts and address literals are refused: they
# are rare, and the usual vehicle of injections.
_ATOM = r"[^\W_]|[!#$%&'*+/=?^_`{|}~-]"
_LOCAL = re.compile(rf"(?:{_ATOM})+(?:\.(?:{_ATOM})+)*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_INTERNATIONAL = re.compile(r"[a-zA-Z0-9.\-\u0080-\U0010ffff]+")
_WRONG_DOMAIN = message("Not a mail address: the domain is not valid.")
_MAX_LOCAL_BYTES = 64
_MAX_ADDRESS_BYTES = 254
_TOO_LONG = message("Not a mail address: longer than {limit} bytes.", limit=_MAX_ADDRESS_BYTES)
# Controls, line and paragraph separators, lone surrogates: `str.splitlines` splits at most of them, and a mail server
# might do so, too.
_NOT_IN_A_LINE = {"Cc", "Zl", "Zp", "Cs"}


def checked_address(text: str) -> str:
    """The address with its domain in lower-case ASCII (IDNA, as browsers have it). Raises ValueError."""
    # Before anything looks at the content; SMTP counts bytes, too (RFC 6531, 3.7.1).
    if len(text) > _MAX_ADDRESS_BYTES or not _fits(text, _MAX_ADDRESS_BYTES):
        raise ValueError(_TOO_LONG)
    local, at, domain = text.rpartition("@")
    if not at:
        raise ValueError(message("Not a mail address: it has no @."))
    # `=?` begins an encoded word (RFC 2047), which may decode to a line feed.
    if not _LOCAL.fullmatch(local) or "=?" in local or not _fits(local, _MAX_LOCAL_BYTES):
        raise ValueError(message("Not a mail address: the part before the @ is not valid."))
    ascii_domain = domain.lower() if domain.isascii() else _in_ascii(domain)
    labels = ascii_domain.split(".")
    if len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError(_WRONG_DOMAIN)
    address = f"{local}@{ascii_domain}"
    if not _fits(address, _MAX_ADDRESS_BYTES):
        raise ValueError(_TOO_LONG)
    return address


def _in_ascii(domain: str) -> str:
    # A URL's host goes through the same rules, in Rust: Python's own codec takes milliseconds, and more than linear
    # time. What a URL reads as something else than a host is refused before.
    if not _INTERNATIONAL.fullmatch(domain):
        raise ValueError(_WRONG_DOMAIN)
    try:
        return Url(f"http://{domain}").host or ""
    except ValidationError:
        raise ValueError(_WRONG_DOMAIN) from None


def _fits(text: str, most_bytes: int) -> bool:
    try:
        return len(text.encode()) <= most_bytes
    except UnicodeEncodeError:
        raise ValueError(message("Not a mail address: it is not text.")) from None


def checked_line(text: str) -> str:
    """The text, where it is one line with visible characters. Raises ValueError."""
    # Printable texts, which are the rule, hold none of them.
    if not text.isprintable() and any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        raise ValueError(message("Must be one line without control characters."))
    if not text.strip():
        raise ValueError(message("Must not be blank."))
    return text
