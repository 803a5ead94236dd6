"""Rows as the readers of all formats give them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from taskyard import TaskError

MAX_COLUMNS = 1_000
MAX_COLUMN_NAME = 200
_MAX_TOLD = 300  # characters of the names of columns in an error
# Beside those of `record_values.REASONS`.
REASONS = (
    *("quotes", "columns", "not_text", "not_an_integer", "not_a_number", "not_a_boolean", "not_a_date"),
    *("not_a_datetime", "cell_error"),
)


class Row(NamedTuple):
    """`number`: of the line or row on which it begins, as an editor shows it, from 1."""

    number: int
    values: dict[str, Any]


class BadRow(NamedTuple):
    """`reason` is one of `REASONS`; `column` names the column, where it is one's."""

    number: int
    reason: str
    column: str | None = None


class Table:
    """Makes rows of lists of cells: the first has the names of the columns, where there is a header; otherwise they are
    `column_1` and so on. `needed`: columns that have to be there."""

    def __init__(self, *, header: bool, needed: Collection[str] = ()) -> None:
        self._has_header = header
        self._needed = needed
        self._names: list[str] | None = None

    def row(self, number: int, cells: Sequence[Any]) -> Row | BadRow | None:
        """None for the header. Raises TaskError where there can be no columns of these names, or one is missing."""
        if self._names is None:
            if self._has_header:
                self._name(_checked(cells))
                return None
            if len(cells) > MAX_COLUMNS:
                raise TaskError("import_columns", retryable=False, limit=MAX_COLUMNS)
            self._name([f"column_{n}" for n in range(1, len(cells) + 1)])
        if len(cells) != self.width:
            return BadRow(number, "columns")
        return Row(number, dict(zip(self._names or (), cells, strict=True)))

    def bad(self, number: int, reason: str) -> BadRow:
        """Raises TaskError where the names of the columns should stand there."""
        if self._has_header and self._names is None:
            raise _no_header()
        return BadRow(number, reason)

    def end(self) -> None:
        """Raises TaskError where the file ended before the names of the columns."""
        if self._has_header and self._names is None:
            raise _no_header()

    def _name(self, names: list[str]) -> None:
        missing = next((name for name in self._needed if name not in {*names}), None)
        if missing is not None:
            told = ", ".join(names)
            raise TaskError("import_no_column", retryable=False, column=missing, columns=shortened(told))
        self._names = names

    @property
    def width(self) -> int | None:
        return None if self._names is None else len(self._names)


def _checked(cells: Sequence[Any]) -> list[str]:
    """Raises TaskError."""
    if len(cells) > MAX_COLUMNS:
        raise TaskError("import_columns", retryable=False, limit=MAX_COLUMNS)
    names = [cell.strip() if isinstance(cell, str) else "" if cell is None else str(cell) for cell in cells]
    if not names or any(not 0 < len(name) <= MAX_COLUMN_NAME for name in names) or len({*names}) < len(names):
        raise _no_header()
    return names


def shortened(names: str) -> str:
    return names if len(names) <= _MAX_TOLD else f"{names[:_MAX_TOLD]}…"


def _no_header() -> TaskError:
    return TaskError("import_header", retryable=False, limit=MAX_COLUMN_NAME)
