"""Tables as the tasks of this kit read them: a header and rows of text, checked and bounded.

Rows are numbered as a spreadsheet shows them: the header is row 1, and blank ones count, other than at the end.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from taskyard import InputUnusable

MIB = 1024**2

# Byte order marks, the longer ones first: that of UTF-32 begins with that of UTF-16.
_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_SEPARATORS = {";": ";", "\t": "TAB", "|": "|"}
# From here on, not every whole number is a float.
_MAX_EXACT = 2**53
# Rows of a sheet of Excel. They are read before it is known that they are the end.
MAX_BLANK_ROWS = 2**20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a table may have. `name` is one of the kit's phrases."""

    name: str
    max_bytes: int
    max_rows: int
    max_columns: int
    max_cell: int

    def refusal(self, code: str, **values: Any) -> InputUnusable:
        return InputUnusable(code, table={"phrase": self.name}, **values)


# 100,000 people: docs/selection.md has the memory that they take. 50,000 characters: a cell of Google Sheets.
PEOPLE = Bounds("people", max_bytes=16 * MIB, max_rows=100_000, max_columns=200, max_cell=50_000)
# The result names each target, and has 256 KiB.
QUOTAS = Bounds("quotas", max_bytes=MIB, max_rows=200, max_columns=50, max_cell=100)


@dataclass(frozen=True, slots=True)
class Table:
    header: list[str]
    rows: list[list[str]]


def of_csv(file: BinaryIO, size: int, bounds: Bounds) -> Table:
    """A CSV file of `size` bytes in UTF-8, with or without a byte order mark. Raises InputUnusable."""
    if size > bounds.max_bytes:
        raise bounds.refusal("table_too_large", limit=bounds.max_bytes // MIB)
    text = _decoded(_read(file, bounds.max_bytes + 1), bounds)
    rows = _csv_rows(text, bounds)
    header = next(rows, [])
    if len(header) == 1:
        for separator, told in _SEPARATORS.items():
            if separator in header[0]:
                raise bounds.refusal("table_wrong_separator", separator=told)
    return of_lists(chain((header,), rows), bounds)


def of_objects(rows: Sequence[Mapping[str, str | float | None]], bounds: Bounds) -> Table:
    """Objects with the columns' names; what a row leaves out is empty. Raises InputUnusable."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    return of_lists([header, *([_text(row.get(name)) for name in header] for row in rows)], bounds)


def of_lists(lists: Iterable[Sequence[str]], bounds: Bounds) -> Table:
    """A header and rows that have as many cells, or none. Raises InputUnusable."""
    found = iter(lists)
    header = [name.strip() for name in next(found, ())]
    if not any(header):
        has_rows = any(cell.strip() for row in found for cell in row)
        raise bounds.refusal("table_without_header" if has_rows else "table_empty")
    if len(header) > bounds.max_columns:
        raise bounds.refusal("table_too_many_columns", limit=bounds.max_columns)
    rows: list[list[str]] = []
    blank = 0  # rows since the last one that says something: a spreadsheet program may save thousands at the end
    for number, row in enumerate(found, start=2):
        if row and len(row) != len(header):
            raise bounds.refusal("table_ragged", row=number, cells=len(row), columns=len(header))
        if not any(cell.strip() for cell in row):
            blank += 1
            if blank > MAX_BLANK_ROWS:
                raise bounds.refusal("table_too_many_rows", limit=bounds.max_rows)
            continue
        if len(rows) + blank >= bounds.max_rows:
            raise bounds.refusal("table_too_many_rows", limit=bounds.max_rows)
        rows.extend([""] * len(header) for _ in range(blank))
        rows.append(list(row))
        blank = 0
    for number, row in enumerate((header, *rows), start=1):
        if any(len(cell) > bounds.max_cell for cell in row):
            raise bounds.refusal("table_cell_too_long", row=number, limit=bounds.max_cell)
    if not rows:
        raise bounds.refusal("table_empty")
    return Table(header, rows)


def _csv_rows(text: str, bounds: Bounds) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for row in reader:
            number += 1
            yield row
    except csv.Error as e:
        # 131,072 characters, unless another library in this process changed it.
        if "field limit" in str(e):
            raise bounds.refusal("table_cell_too_long", row=number + 1, limit=bounds.max_cell) from None
        raise bounds.refusal("table_malformed", row=reader.line_num) from None


def _read(file: BinaryIO, most: int) -> bytes:
    """A file of a bucket gives what has arrived."""
    data = bytearray()
    while len(data) < most and (piece := file.read(min(MIB, most - len(data)))):
        data += piece
    return bytes(data)


def _decoded(data: bytes, bounds: Bounds) -> str:
    if len(data) > bounds.max_bytes:  # more than its record says
        raise bounds.refusal("table_too_large", limit=bounds.max_bytes // MIB)
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            raise bounds.refusal("table_wrong_encoding", encoding=encoding)
    nul = data.find(b"\0")
    if nul >= 0:
        raise bounds.refusal("table_has_nul", row=data.count(b"\n", 0, nul) + 1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise bounds.refusal("table_not_utf8", row=data.count(b"\n", 0, e.start) + 1) from None


def _text(cell: str | float | None) -> str:
    """JSON makes no difference between 1 and 1.0."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _MAX_EXACT:
        return str(int(cell))
    return "" if cell is None else str(cell)
