"""CSV and JSON Lines, in UTF-8: read line by line, in memory that does not depend on the file."""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import BinaryIO, NoReturn

from taskyard import TaskError
from taskyard_kits.record_values import MAX_RECORD_BYTES, Unstorable, read_json

from ..lines import blocks
from .rows import BadRow, Row, Table

# A field of CSV has fewer bytes than a row, and csv.field_size_limit() is 131,072 characters.
MAX_ROW_BYTES = MAX_RECORD_BYTES
# A quote that is not closed would take the rows behind it for text. Excel has 253 line breaks in a cell at most.
MAX_ROW_LINES = 256
# The longer ones first: that of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

# Some programs put one before another.
_MARKED = re.compile(rb"\A(?:\xef\xbb\xbf)+")
_DELIMITERS = ",;\t|"

Read = Callable[[int], None]


def check(file: BinaryIO, read: Read) -> str:
    """Reads the file to its end, before anything of it is used; returns its SHA-256. `read` is told the bytes so far.
    Raises TaskError where it is not UTF-8."""
    decoder, digest = codecs.getincrementaldecoder("utf-8")(), hashlib.sha256()
    size, line = 0, 1
    for block in blocks(file):
        if not size:
            _refuse_marked(block)
        try:
            decoder.decode(block)
        except UnicodeDecodeError as e:
            raise _not_utf8(line + e.object.count(b"\n", 0, e.start)) from None
        digest.update(block)
        size += len(block)
        line += block.count(b"\n")
        read(size)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _not_utf8(line) from None
    return digest.hexdigest()


def lines(file: BinaryIO, read: Read) -> Iterator[bytes]:
    """With their line feeds, without byte-order marks. Raises TaskError for a line of more than MAX_ROW_BYTES."""
    rest, number, size = b"", 1, 0
    for block in blocks(file):
        text = block if size else _MARKED.sub(b"", block)
        *whole, rest = (rest + text).split(b"\n")
        for line in whole:
            if len(line) > MAX_ROW_BYTES:
                _refuse_long(number)
            yield line + b"\n"
            number += 1
        if len(rest) > MAX_ROW_BYTES:
            _refuse_long(number)
        size += len(block)
        read(size)
    if rest:
        yield rest


def json_rows(given: Iterable[bytes]) -> Iterator[Row | BadRow]:
    """An object on each line; blank lines are passed over."""
    for number, line in enumerate(given, 1):
        if not line.strip():
            continue
        try:
            value = read_json(line)
        except Unstorable as e:
            yield BadRow(number, e.reason)
            continue
        yield Row(number, value) if isinstance(value, dict) else BadRow(number, "not_an_object")


def csv_rows(
    given: Iterable[bytes], *, delimiter: str, header: bool, needed: Collection[str] = ()
) -> Iterator[Row | BadRow]:
    """As RFC 4180 has them. Blank lines are passed over; a row of several lines has the number of the first one. Of an
    invalid row each line is one: they may be rows behind a quote that should not be there. Raises TaskError as Table
    does, where the header has one name with a delimiter in it, and where a quote is not closed."""
    table, fed = Table(header=header, needed=needed), _Lines(given)
    reader = csv.reader(fed, delimiter=delimiter, strict=True)
    while True:
        fed.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            table.end()
            return
        except csv.Error:
            fed.refuse_open_quote()
            yield table.bad(fed.first, "quotes")
            yield from fed.more("quotes")
            continue
        if header and len(cells) == 1 and table.width is None:
            _refuse_delimited(cells[0])
        if cells and (row := table.row(fed.first, cells)) is not None:
            yield row
            if isinstance(row, BadRow):
                yield from fed.more(row.reason)


class _Lines:
    """Lines as the reader of CSV takes them. It would gather a quoted field up to the end of the file."""

    def __init__(self, given: Iterable[bytes]) -> None:
        self._given = iter(given)
        self._number = 0
        self._size = 0
        self._has_ended = False
        self.first = 1

    def begin_row(self) -> None:
        self.first = self._number + 1
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._given, None)
        if line is None:
            self._has_ended = True
            raise StopIteration
        if self._number - self.first >= MAX_ROW_LINES - 1:
            raise _open_quote(self.first)
        self._number += 1
        self._size += len(line)
        if self._size > MAX_ROW_BYTES:
            _refuse_long(self.first)
        return line.decode()

    def refuse_open_quote(self) -> None:
        """Raises TaskError where the reader asked for another line of a row, and there is none."""
        if self._has_ended:
            raise _open_quote(self.first)

    def more(self, reason: str) -> Iterator[BadRow]:
        """The lines of an invalid row behind its first one."""
        return (BadRow(number, reason) for number in range(self.first + 1, self._number + 1))


def _refuse_marked(block: bytes) -> None:
    for mark, name in _MARKS.items():
        if block.startswith(mark):
            raise TaskError("import_encoding", retryable=False, encoding=name)


def _refuse_delimited(name: str) -> None:
    """The only name of a header: of a file with another delimiter, it is the whole line."""
    if (found := next((one for one in _DELIMITERS if one in name), None)) is not None:
        raise TaskError("import_delimiter", retryable=False, delimiter="\\t" if found == "\t" else found)


def _not_utf8(line: int) -> TaskError:
    return TaskError("import_not_utf8", retryable=False, line=line)


def _open_quote(number: int) -> TaskError:
    return TaskError("import_open_quote", retryable=False, row=number, limit=MAX_ROW_LINES)


def _refuse_long(number: int) -> NoReturn:
    raise TaskError("import_row_too_long", retryable=False, row=number, limit=MAX_ROW_BYTES // 1024)
