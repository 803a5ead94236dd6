"""Workbooks of Excel: `sheet.py` reads one in a process of its own, with 256 MiB of memory at most."""

from __future__ import annotations

import json
from collections.abc import Collection, Generator
from typing import Any, BinaryIO

from taskyard import TaskError
from taskyard_kits import confined
from taskyard_kits.confined import Check, Died, TooMuch
from taskyard_kits.record_values import MAX_RECORD_BYTES

from ..memory import MIB, Memory
from .rows import BadRow, Row, Table

MAX_WORKBOOK_BYTES = 128 * MIB
_PROCESS_BYTES = 256 * MIB
# A row, with its number, in JSON that escapes nothing but quotes.
_LINE_BYTES = MAX_RECORD_BYTES + 1024
_SHEET = f"{__package__}.sheet"


def rows(
    file: BinaryIO, sheet: str, *, header: bool, needed: Collection[str] = (), memory: Memory, check: Check
) -> Generator[Row | BadRow, None, None]:
    """The rows of a sheet (empty: the first one) of the `file`, which has a descriptor. Raises TaskError, and OSError
    where the file cannot be read."""
    table = Table(header=header, needed=needed)
    with (
        memory.share(_PROCESS_BYTES, check) as size,
        confined.started(_SHEET, size, sheet, file=file, check=check) as program,
    ):
        try:
            for line in program.lines(_LINE_BYTES):
                match json.loads(line):
                    case [int() as number, str() as reason]:
                        yield table.bad(number, reason)
                    case [int() as number, list() as cells]:
                        if (row := table.row(number, _filled(cells, table.width))) is not None:
                            yield row
                    case answer:
                        _check_end(answer)
                        table.end()
                        return
            raise program.death()
        except (Died, TooMuch):
            raise TaskError("import_too_large", retryable=False) from None


def _filled(cells: list[Any], width: int | None) -> list[Any]:
    """Empty cells at the end of a row are not told."""
    return cells + [None] * (width - len(cells)) if width is not None and width > len(cells) else cells


def _check_end(answer: Any) -> None:
    match answer:
        case {"error": "unreadable", "errno": number, "reason": reason}:
            raise OSError(number, reason)
        case {"error": code}:
            raise TaskError(code, retryable=False)
