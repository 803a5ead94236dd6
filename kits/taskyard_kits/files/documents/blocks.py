"""A document as blocks: what the template of the pages (`pages.typ`) takes, as JSON.

HTML becomes blocks in linear time: tokens, and a stack of bounded depth. What is not known is passed over, and its text
stays. Beyond the depth, blocks stand in the last one that fits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from turbohtml import TokenType, tokenize

from .grid import Cell, table

Block = dict[str, Any]
Span = dict[str, Any]

_MAX_DEPTH = 12
_MAX_TABLES = 3  # in one another: the renderer measures the cells of each several times
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_MARKS = {
    **dict.fromkeys(("b", "strong", "th"), "b"),
    **dict.fromkeys(("i", "em", "cite", "var", "dfn"), "i"),
    **dict.fromkeys(("code", "kbd", "samp", "tt"), "c"),
    **dict.fromkeys(("s", "del", "strike"), "d"),
    **dict.fromkeys(("u", "ins"), "u"),
    "sup": "sup",
    "sub": "sub",
}
_PARAGRAPHS = frozenset(
    {"address", "article", "aside", "body", "center", "dd", "details", "div", "dl", "dt", "figcaption", "figure"}
    | {"footer", "form", "header", "main", "nav", "p", "section", "summary", "caption"}
)
_SILENT = frozenset({"script", "style", "template", "title"})  # of them a page shows nothing anyway
_UNSEEN = _SILENT | frozenset(
    {"noscript", "svg", "math", "iframe", "object", "select", "textarea", "audio", "video", "canvas"}
)
_NESTED = frozenset({"ul", "ol", "blockquote", "table"})  # all others end where the next of their kind begins
_FOREIGN = frozenset({"svg", "math"})  # of other tags HTML has none that close themselves
_LINKS = ("http://", "https://", "mailto:")
_MAX_LINK = 2_000


@dataclass
class _Frame:
    """An open block: `kind` is its tag."""

    kind: str
    blocks: list[Block] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)


class Blocks:
    """`image` makes the block of an image from its address and its text; None where that is left out."""

    def __init__(self, image: Callable[[str, str], Block | None]) -> None:
        self._image = image
        self._frames = [_Frame("root")]
        self._spans: list[Span] = []
        self._marks: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._heading: int | None = None
        self._link: str | None = None
        self._code: list[str] | None = None
        self._is_term = False  # within dt, which often has no end tag
        self._unseen, self._unseen_tag = 0, ""
        self.left_out_columns = 0
        self.left_out_elements = 0

    def read(self, html: str) -> list[Block]:
        for token in tokenize(html):
            tag = token.tag or ""
            match token.type:
                case TokenType.TEXT if not self._unseen:
                    self._text(token.data or "")
                case TokenType.START_TAG if tag in _UNSEEN:
                    if not self._unseen:
                        self._unseen_tag = tag
                        self.left_out_elements += tag not in _SILENT
                    self._unseen += not (token.self_closing and tag in _FOREIGN)
                case TokenType.END_TAG if tag in _UNSEEN:
                    self._unseen = max(0, self._unseen - 1)
                case TokenType.START_TAG if not self._unseen:
                    self._start(tag, token)
                case TokenType.END_TAG if not self._unseen:
                    self._end(tag)
        # What follows an element that is never closed is not seen either.
        self.left_out_elements += self._unseen > 0 and self._unseen_tag in _SILENT
        self._end("pre")
        while len(self._frames) > 1:
            self._close()
        self._flush()
        return self._frames[0].blocks

    def _text(self, text: str) -> None:
        if self._code is not None:
            self._code.append(text)
            return
        text = re.sub(r"[ \t\r\n\f]+", " ", text)
        if not self._spans or "br" in self._spans[-1]:
            text = text.lstrip(" ")
        if not text:
            return
        span: Span = {"s": text, **{mark: True for mark, count in self._marks.items() if count > 0}}
        if self._is_term:
            span["b"] = True
        if self._link is not None:
            span["href"] = self._link
        self._spans.append(span)

    def _start(self, tag: str, token: Any) -> None:
        if self._code is not None:
            self._start_in_code(tag, token)
            return
        if tag in _MARKS:
            self._marks[_MARKS[tag]] += 1
        match tag:
            case "a":
                address = (token.attr("href") or "").strip()
                self._link = address if address.startswith(_LINKS) and len(address) <= _MAX_LINK else None
            case "br":
                self._spans.append({"br": True})
            case "img":
                self._add_image(token.attr("src") or "", token.attr("alt") or "")
            case "td" | "th":
                self._open_cell(tag, token)
            case "ol":
                self._open(tag, start=_number(token.attr("start"), 1))
            case _:
                self._start_block(tag)

    def _start_in_code(self, tag: str, token: Any) -> None:
        if tag == "br":
            self._text("\n")
        elif tag == "img":
            text = token.attr("alt") or ""
            if (block := self._image(token.attr("src") or "", text)) is not None:
                self._end("pre")
                self._add(block)
                self._code = []
            elif text.strip():
                self._text(f"[{text.strip()}]")

    def _start_block(self, tag: str) -> None:
        match tag:
            case "hr":
                self._add({"t": "rule"})
            case "pre":
                self._flush()
                self._code = []
            case "ul":
                self._open(tag, start=1)
            case "li":
                self._leave("li", up_to=("ul", "ol"))
                self._open("li") if self._inside("ul", "ol") else self._flush()
            case "blockquote" | "table":
                self._open(tag)
            case "thead" | "tbody" | "tfoot" | "tr":
                self._row(tag)
            case _ if tag in _HEADINGS:
                self._flush()
                self._heading = _HEADINGS[tag]
            case _ if tag in _PARAGRAPHS:
                self._flush()
                self._is_term = tag == "dt"

    def _end(self, tag: str) -> None:
        if self._code is not None:
            if tag == "pre":
                code, self._code = "".join(self._code).strip("\n"), None
                if code:
                    self._add({"t": "code", "s": code})
            return
        if tag in _MARKS:
            self._marks[_MARKS[tag]] -= self._marks[_MARKS[tag]] > 0
        match tag:
            case "a":
                self._link = None
            case "ul" | "ol" | "li" | "blockquote" | "table" | "td" | "th":
                self._leave(tag)
            case "thead" | "tbody" | "tfoot" | "tr":
                self._row("")
            case _ if tag in _HEADINGS or tag in _PARAGRAPHS:
                self._flush()
                self._is_term &= tag not in {"dt", "dl"}

    def _inside(self, *kinds: str) -> bool:
        return self._frames[-1].kind in kinds

    def _open(self, kind: str, **attributes: Any) -> None:
        self._flush()
        tables = sum(frame.kind == "table" for frame in self._frames)
        if len(self._frames) > _MAX_DEPTH or (kind == "table" and tables == _MAX_TABLES):
            self._ignored[kind] += 1
        else:
            self._frames.append(_Frame(kind, attributes=attributes))

    def _leave(self, kind: str, *, up_to: tuple[str, ...] = ("table",)) -> None:
        """Closes the innermost open block of that kind; a cell of a table or a list is not left for one outside."""
        self._flush()
        if self._ignored[kind] and kind in _NESTED:
            self._ignored[kind] -= 1
            return
        for n in range(len(self._frames) - 1, 0, -1):
            if self._frames[n].kind == kind:
                while len(self._frames) > n:
                    self._close()
                return
            if self._frames[n].kind in up_to:
                return

    def _row(self, tag: str) -> None:
        """A row of the innermost table begins, or a part of it."""
        for kind in ("td", "th"):
            self._leave(kind)
        frame = self._frames[-1]
        if frame.kind == "table":
            if tag == "tr":
                frame.items.append([])
            elif tag:
                frame.attributes["is_head"] = tag == "thead"

    def _open_cell(self, tag: str, token: Any) -> None:
        for kind in ("td", "th"):
            self._leave(kind)
        frame = self._frames[-1]
        if frame.kind != "table":
            return
        if not frame.items:
            frame.items.append([])
        self._marks.clear()
        if tag == "th":
            self._marks["b"] = 1
        self._open(
            tag,
            across=_number(token.attr("colspan"), 1),
            down=_number(token.attr("rowspan"), 1),
            align=_alignment(token),
            is_head=tag == "th" or bool(frame.attributes.get("is_head")),
        )

    def _close(self) -> None:
        """The innermost block is complete, and stands in the one around it."""
        self._flush()
        frame = self._frames.pop()
        outer = self._frames[-1]
        match frame.kind:
            case "li":
                outer.items += [frame.blocks] if frame.blocks else []
            case "td" | "th":
                outer.items[-1].append(Cell(frame.blocks, **frame.attributes))
                self._marks.clear()
                self._is_term = False
            case "ul" | "ol":
                items = [*([frame.blocks] if frame.blocks else []), *frame.items]
                if items:
                    start = frame.attributes["start"]
                    outer.blocks.append({"t": "list", "ordered": frame.kind == "ol", "start": start, "items": items})
            case "table":
                made, left_out = table(frame.items)
                self.left_out_columns += left_out
                # What stands in a table outside of its cells comes before it.
                outer.blocks += [*frame.blocks, *([made] if made else [])]
            case _:
                outer.blocks.append({"t": "quote", "blocks": frame.blocks})

    def _flush(self) -> None:
        """The paragraph or heading ends."""
        spans, self._spans = self._spans, []
        level, self._heading = self._heading, None
        while spans and ("br" in spans[-1] or not spans[-1]["s"].strip()):
            spans.pop()
        if spans:
            spans[-1]["s"] = spans[-1]["s"].rstrip(" ")
            kind = {"t": "par"} if level is None else {"t": "heading", "level": level}
            self._frames[-1].blocks.append({**kind, "spans": spans})

    def _add(self, block: Block) -> None:
        self._flush()
        self._frames[-1].blocks.append(block)

    def _add_image(self, address: str, text: str) -> None:
        if (block := self._image(address, text)) is not None:
            self._add(block)
        elif text.strip():
            self._spans.append({"s": f"[{text.strip()}]", "i": True})


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else otherwise


def _alignment(token: Any) -> str | None:
    style = f"{token.attr('align') or ''} {token.attr('style') or ''}".lower()[:200]
    return next((side for side in ("right", "center", "left") if side in style), None)
