"""The reader of Markdown."""

from __future__ import annotations

from markdown_it import MarkdownIt

# A list and its item are two: 49 lists, or 98 quotes. The reader calls itself for each, so that a thousand would be
# beyond the limit of Python.
MAX_NESTING = 100


class Reader(MarkdownIt):
    """Of CommonMark, with tables and strikethrough."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"maxNesting": MAX_NESTING})
        self.enable(["table", "strikethrough"])

    def validateLink(self, url: str) -> bool:  # noqa: N802 - a method of markdown-it
        """All: the blocks take no links but those of the web and of mail, and count images that cannot be shown. The
        reader itself would print the address of an image that it does not know as text."""
        return True
