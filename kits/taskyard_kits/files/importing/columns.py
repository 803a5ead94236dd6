"""Columns with types: their cells become values of JSON, or make their row a bad one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any, Literal

from .rows import BadRow, Row

ColumnType = Literal["text", "integer", "number", "boolean", "date", "datetime"]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
_MOST = 2**63 - 1
_DIGITS = 40


def typed(row: Row, columns: Mapping[str, ColumnType]) -> Row | BadRow:
    """The row with the values of `columns` as their types have them; what is empty is null, but in a text. All other
    values stay as they are."""
    values = dict(row.values)
    for name, kind in columns.items():
        try:
            values[name] = CONVERSIONS[kind](values.get(name))
        except ValueError:
            return BadRow(row.number, _REASONS[kind], name)
    return Row(row.number, values)


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
    raise ValueError


def _integer(value: Any) -> int | None:
    match value:
        case None | "":
            return None
        case bool():
            raise ValueError
        case float() if value.is_integer():
            value = int(value)
        case str() if len(value) <= _DIGITS and _INTEGER.fullmatch(value.strip()):
            value = int(value)
    if isinstance(value, int) and abs(value) <= _MOST:
        return value
    raise ValueError


def _number(value: Any) -> float | None:
    """Whole numbers stay whole, and exact: those beyond 64 bits are refused."""
    if isinstance(value, str) and not _INTEGER.fullmatch(value.strip()) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _integer(value)


def _boolean(value: Any) -> bool | None:
    match value:
        case None | "":
            return None
        case bool():
            return value
        case int() | str() if (word := str(value).strip().lower()) in _TRUE | _FALSE:
            return word in _TRUE
    raise ValueError


def _date(value: Any) -> str | None:
    """A cell of Excel that is a date has a time, too: midnight."""
    found = _at(value)
    if found is not None and found.time() != time():
        raise ValueError
    return None if found is None else found.date().isoformat()


def _datetime(value: Any) -> str | None:
    found = _at(value)
    return None if found is None else found.isoformat()


def _at(value: Any) -> datetime | None:
    match value:
        case None | "":
            return None
        case str():
            return datetime.fromisoformat(value.strip())
    raise ValueError


CONVERSIONS: dict[ColumnType, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
}
_REASONS: dict[ColumnType, str] = {
    "text": "not_text",
    "integer": "not_an_integer",
    "number": "not_a_number",
    "boolean": "not_a_boolean",
    "date": "not_a_date",
    "datetime": "not_a_datetime",
}
