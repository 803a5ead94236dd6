"""The text of an HTML message, for the part that mail programs without HTML show.

In time and memory that are linear in the length of the HTML. That takes a tokenizer and no tree: the tree that the
HTML standard prescribes has 50 million nodes for 50 KB of `<font a=1><p><font a=2><p>...`, and its end tags are looked
for in all open elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turbohtml import TokenType

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "footer", "form"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"}
    | {"table", "tr", "ul"}
)
# What is in `head` beside these has no text.
_UNSEEN = frozenset({"script", "style", "template", "title"})


# The largest character has seven digits.
_NO_CHARACTER = re.compile("&#(?:[0-9]{100}|[xX][0-9a-fA-F]{100})")


class Unreadable(ValueError):
    """A reference in this HTML names no character, by far."""


def of_html(html: str) -> str:
    """What the HTML says: blocks on lines of their own, links with their addresses behind them. Raises Unreadable."""
    if _NO_CHARACTER.search(html):
        raise Unreadable
    lines = (line.strip() for line in "".join(_parts(html)).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _parts(html: str) -> Iterator[str]:
    from turbohtml import TokenType, tokenize

    unseen = 0
    links: list[str] = []
    for token in tokenize(html):
        tag = token.tag or ""
        match token.type:
            case TokenType.TEXT if not unseen:
                yield re.sub(r"\s+", " ", token.data or "")
            case TokenType.START_TAG if tag == "a":
                links.append(token.attr("href") or "")
            case TokenType.END_TAG if tag == "a":
                yield _address(links)
            case TokenType.START_TAG | TokenType.END_TAG if tag in _UNSEEN:
                unseen = max(0, unseen + (1 if token.type is TokenType.START_TAG else -1))
            case TokenType.START_TAG | TokenType.END_TAG:
                yield _space(token.type, tag)


def _address(links: list[str]) -> str:
    link = links.pop() if links else ""
    return f" ({link})" if link.startswith(("http://", "https://")) else ""


def _space(kind: TokenType, tag: str) -> str:
    if kind is kind.END_TAG:
        return "\n" if tag in _BLOCKS and tag != "li" else ""
    if tag == "li":
        return "\n- "
    return "\n" if tag in _BLOCKS else " " if tag in {"td", "th"} else ""
