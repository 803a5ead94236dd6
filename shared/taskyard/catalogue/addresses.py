"""Mail addresses and one-line texts as parameters. None of them can inject a header into a mail."""

from __future__ import annotations

import re
import unicodedata

# RFC 5322 dot-atom, with letters beyond ASCII by RFC 6531. Quoted local parts and address literals are refused: they
# are rare, and the usual vehicle of injections.
_ATOM = r"[^\W_]|[!#$%&'*+/=?^_`{|}~-]"
_LOCAL = re.compile(rf"(?:{_ATOM})+(?:\.(?:{_ATOM})+)*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MAX_LOCAL_BYTES = 64
_MAX_ADDRESS_BYTES = 254
# Controls, line and paragraph separators, lone surrogates: `str.splitlines` splits at most of them, and a mail server
# might do so, too.
_NOT_IN_A_LINE = {"Cc", "Zl", "Zp", "Cs"}


def checked_address(text: str) -> str:
    """The address with its domain in lower-case ASCII (IDNA). Raises ValueError."""
    local, at, domain = text.rpartition("@")
    if not at:
        raise ValueError("not a mail address: it has no @")
    # `=?` begins an encoded word (RFC 2047), which may decode to a line feed.
    if not _LOCAL.fullmatch(local) or "=?" in local or len(local.encode()) > _MAX_LOCAL_BYTES:
        raise ValueError("not a mail address: the part before the @ is not valid")
    try:
        # The codec changes nothing else in ASCII, and takes a while.
        ascii_domain = (domain if domain.isascii() else domain.encode("idna").decode()).lower()
    except UnicodeError:
        raise ValueError("not a mail address: the domain is not valid") from None
    labels = ascii_domain.split(".")
    if len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError("not a mail address: the domain is not valid")
    address = f"{local}@{ascii_domain}"
    if len(address.encode()) > _MAX_ADDRESS_BYTES:
        raise ValueError(f"not a mail address: longer than {_MAX_ADDRESS_BYTES} bytes")
    return address


def checked_line(text: str) -> str:
    """The text, where it is one line with visible characters. Raises ValueError."""
    # Printable texts, which are the rule, hold none of them.
    if not text.isprintable() and any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        raise ValueError("must be one line without control characters")
    if not text.strip():
        raise ValueError("must not be blank")
    return text
