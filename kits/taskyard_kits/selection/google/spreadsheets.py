"""The calls: tabs, their values, and changes of both.

https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from taskyard import InputUnusable, TaskContext

from .refusals import refusal
from .settings import GoogleSettings
from .tokens import Tokens, tokens_of
from .transport import Transport, read_json, unavailable

MIB = 1024 * 1024
# A spreadsheet has 10 million cells at most. What is read of a tab in memory takes some ten times its JSON.
MOST_MIB = 32
_FIELDS = "sheets(properties(sheetId,title,sheetType,hidden),developerMetadata(metadataId,metadataKey,metadataValue))"
_NATIVE = "application/vnd.google-apps.spreadsheet"

Request = Mapping[str, Any]
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Mark:
    """One entry of developer metadata."""

    id: int
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Tab:
    id: int
    title: str
    is_hidden: bool = False
    is_grid: bool = True
    marks: tuple[Mark, ...] = ()

    def has(self, key: str, value: str | None = None) -> bool:
        return any(mark.key == key and value in {None, mark.value} for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Contents:
    """`marks` are those of the spreadsheet itself."""

    tabs: list[Tab] = field(default_factory=list)
    marks: tuple[Mark, ...] = ()
