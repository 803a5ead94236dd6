"""Reads one sheet of a workbook, in a process of its own that `workbook.py` starts: `sheet FD BYTES NAME`; an empty
name is the first sheet.

On standard output, a line of JSON for each row that is not empty: `[number, [cell, …]]`, or `[number, reason]` where a
cell is an error or the row is too long. In the end `{"is_done": true}`, or instead `{"error": code}`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from typing import Any, BinaryIO

# Before openpyxl looks: a parser that refuses entities, whatever else is installed.
os.environ["OPENPYXL_LXML"] = "False"

import openpyxl
from defusedxml.common import DefusedXmlException
from openpyxl.xml import DEFUSEDXML

from taskyard_kits import process_limits as limits
from taskyard_kits.record_values import MAX_RECORD_BYTES

from .. import memory_errors

MIB = 1024**2
# What each member may be when it is unpacked. zipfile gives no more of it than its entry says.
_SHARED_STRINGS = "sharedStrings.xml"
_MAX_SHARED_STRINGS_BYTES = 64 * MIB
_MAX_SHEET_BYTES = 2048 * MIB
_MAX_OTHER_BYTES = 8 * MIB
_MAX_MEMBERS = 2_000
_MAX_ROWS = 1_048_576  # of Excel
_MAX_INTEGER = 2**63 - 1
# Of the processor: a million rows of ten cells take a minute.
_SECONDS = 900


class _Refused(Exception):
    """It is larger than any that is taken."""


class _NoSheet(Exception):
    pass


def main(fd: int, size: int, name: str) -> None:
    limits.begin()
    warnings.simplefilter("ignore")
    limits.limit_memory(size)
    limits.lower(resource.RLIMIT_CPU, _SECONDS)
    assert DEFUSEDXML
    try:
        with open(fd, "rb") as file:
            for row in _rows(file, name):
                sys.stdout.write(row + "\n")
    except Exception as e:  # noqa: BLE001 - openpyxl tells of damaged files in many ways
        limits.lift_memory()  # nothing comes before
        limits.say(**_error(e))
    else:
        limits.say(is_done=True)


def _rows(file: BinaryIO, name: str) -> Iterator[str]:
    _check(file)
    book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    names = [sheet.title for sheet in book.worksheets]
    if not names or (name and name not in names):
        raise _NoSheet
    sheet: Any = book[name or names[0]]
    sheet.reset_dimensions()  # what the file says of its own size
    for number, cells in enumerate(sheet.iter_rows(), 1):
        if number > _MAX_ROWS:
            raise _Refused
        if (row := _row(cells)) is not None:
            text = json.dumps([number, row], ensure_ascii=False, allow_nan=False)
            yield text if len(text.encode(errors="replace")) <= MAX_RECORD_BYTES else json.dumps([number, "too_large"])


def _row(cells: Sequence[Any]) -> list[Any] | str | None:
    values = [cell.value for cell in cells]
    while values and values[-1] is None:
        values.pop()
    if not values:
        return None
    if any(cell.data_type == "e" for cell in cells):
        return "cell_error"
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        return float(value)  # as Excel has it
    return value


def _check(file: BinaryIO) -> None:
    """Nothing is unpacked before all members say that they are small enough."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise _Refused
    for member in members:
        if member.file_size > _most(member.filename):
            raise _Refused
    file.seek(0)


def _most(name: str) -> int:
    if name.endswith(_SHARED_STRINGS):
        return _MAX_SHARED_STRINGS_BYTES
    return _MAX_SHEET_BYTES if "worksheets/" in name else _MAX_OTHER_BYTES


def _error(error: BaseException) -> dict[str, Any]:
    # openpyxl wraps what was raised.
    while isinstance(error, ValueError) and not isinstance(error, DefusedXmlException) and error.__cause__ is not None:
        error = error.__cause__
    if memory_errors.is_used_up(error):
        return {"error": "import_too_large"}
    match error:
        case _Refused():
            return {"error": "import_too_large"}
        case DefusedXmlException():
            return {"error": "import_entities"}
        case _NoSheet():
            return {"error": "import_no_sheet"}
        case OSError() if error.errno is not None:
            return limits.unreadable(error)
        case _:
            return {"error": "import_damaged"}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
