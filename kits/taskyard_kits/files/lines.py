"""Counting the lines of a file of any size, in memory that does not depend on it, nor on how long a line is.

Whole lines are counted a block at a time by functions in C. Only the line that a block's end cuts is followed
piece by piece, and nothing of it is kept but what is known about it so far; for a pattern, up to 1 MiB.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import BinaryIO

from taskyard.catalogue.patterns import Pattern

from .declarations import MAX_MATCHED_BYTES

BLOCK_BYTES = 256 * 1024
FIRST_INVALID = 10
REPORT_EVERY = 100


def blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


class LineCounter:
    """Feed it blocks, then `finish`.

    A line ends with a line feed, a carriage return before it does not belong to the text; a last line without
    a line feed counts as well. Blank: white space (ASCII) only. Invalid: not UTF-8, or the pattern is not
    found in it, or cannot be because the line is too long.

    `report(lines)` is called each time another hundred lines are counted.
    """

    def __init__(self, pattern: str | None = None, report: Callable[[int], None] = lambda _: None) -> None:
        self._pattern = Pattern(pattern) if pattern is not None else None
        self._report = report
        self._open: _OpenLine | None = None
        self.lines = 0
        self.blank = 0
        self.bytes = 0
        self.invalid = 0
        self.first_invalid: list[int] = []
        self.unterminated = False

    def feed(self, block: bytes) -> None:
        self.bytes += len(block)
        start = 0
        if self._open is not None:
            end = block.find(b"\n")
            if end < 0:
                self._open.feed(block)
                return
            self._open.feed(block[:end])
            self._close_line()
            start = end + 1
        last = block.rfind(b"\n", start)
        if last >= 0:
            self._count(block[start:last])
            start = last + 1
        if start < len(block):
            self._open = _OpenLine(self._pattern)
            self._open.feed(block[start:])

    def finish(self) -> None:
        if self._open is not None:
            self.unterminated = True
            self._close_line()

    def _close_line(self) -> None:
        assert self._open is not None
        blank, valid = self._open.finish()
        self._open = None
        self.blank += blank
        if not valid:
            self._mark_invalid(self.lines + 1)
        self._advance(1)

    def _count(self, whole: bytes) -> None:
        """Complete lines, without the last line feed."""
        lines = whole.split(b"\n")
        self.blank += lines.count(b"") + sum(map(bytes.isspace, lines))
        # One look at the whole block tells in nearly every file that all of its lines are UTF-8.
        valid = _is_utf8(whole)
        if not valid or self._pattern is not None:
            for n, line in enumerate(lines, self.lines + 1):
                if not ((valid or _is_utf8(line)) and (self._pattern is None or _matches(self._pattern, line))):
                    self._mark_invalid(n)
        self._advance(len(lines))

    def _mark_invalid(self, number: int) -> None:
        self.invalid += 1
        if len(self.first_invalid) < FIRST_INVALID:
            self.first_invalid.append(number)

    def _advance(self, count: int) -> None:
        before, self.lines = self.lines, self.lines + count
        for hundred in range(before // REPORT_EVERY + 1, self.lines // REPORT_EVERY + 1):
            self._report(hundred * REPORT_EVERY)


class _OpenLine:
    """What is known of a line that has not ended yet."""

    def __init__(self, pattern: Pattern | None) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pattern = pattern
        self._blank = True
        self._valid = True
        self._held = bytearray()

    def feed(self, piece: bytes) -> None:
        self._blank = self._blank and (not piece or piece.isspace())
        self._decode(piece, final=False)
        # One byte more than a line may have tells that it has more (another may be a carriage return).
        if self._pattern is not None and self._valid and len(self._held) <= MAX_MATCHED_BYTES + 1:
            self._held += piece[: MAX_MATCHED_BYTES + 2 - len(self._held)]

    def finish(self) -> tuple[bool, bool]:
        """Whether the line is blank, and whether it is valid."""
        self._decode(b"", final=True)
        valid = self._valid and (self._pattern is None or _matches(self._pattern, bytes(self._held)))
        return self._blank, valid

    def _decode(self, piece: bytes, *, final: bool) -> None:
        if not self._valid:
            return
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            self._valid = False


def _matches(pattern: Pattern, line: bytes) -> bool:
    line = line.removesuffix(b"\r")
    return len(line) <= MAX_MATCHED_BYTES and pattern.search(line)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
