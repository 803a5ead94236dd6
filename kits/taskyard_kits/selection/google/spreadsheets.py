"""The calls: tabs, their values, and changes of both.

https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from taskyard import AuthenticationFailed, InputUnusable, TaskContext
from taskyard.outbound.client import Answer

from .refusals import refusal
from .settings import GoogleSettings
from .tokens import Tokens, tokens_of
from .transport import Transport, read_json, unavailable

MIB = 1024 * 1024
# A spreadsheet has 10 million cells at most. What is read of a tab in memory takes some ten times its JSON.
MOST_MIB = 32
_MARK = "developerMetadata(metadataId,metadataKey,metadataValue)"
_FIELDS = f"{_MARK},sheets(properties(sheetId,title,sheetType,hidden),{_MARK})"
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


@dataclass(frozen=True, slots=True)
class Contents:
    """`marks` are those of the spreadsheet itself."""

    tabs: list[Tab] = field(default_factory=list)
    marks: tuple[Mark, ...] = ()


class Spreadsheet:
    """One spreadsheet, as the service account may use it.

    Every method raises TaskError: `gsheet_*`, which `refusals` and `transport` choose; TaskCancelled and
    TimeLimitExceeded while it waits.
    """

    def __init__(self, context: TaskContext, spreadsheet_id: str) -> None:
        settings: GoogleSettings = context.settings
        self._transport = Transport(context)
        self._tokens: Tokens = tokens_of(settings)
        self._drive = f"{settings.selection_google_drive_url}/drive/v3/files/{quote(spreadsheet_id, safe='')}"
        self._url = f"{settings.selection_google_sheets_url}/v4/spreadsheets/{quote(spreadsheet_id, safe='')}"

    @property
    def email(self) -> str:
        """Whom it has to be shared with."""
        return self._tokens.account.email

    def contents(self) -> Contents:
        """The tabs, in their order."""
        found = self._call("GET", self._url, {"includeGridData": "false", "fields": _FIELDS}, most_mib=4)
        return Contents([_tab(sheet) for sheet in found.get("sheets", [])], _marks(found))

    def rows(self, tab: Tab) -> list[list[str]]:
        """The cells as people see them (`FORMATTED_VALUE`, which sortition-algorithms reads, too), without empty rows
        at the end. Rows are as long as their last cell that is not empty."""
        query = {"majorDimension": "ROWS", "valueRenderOption": "FORMATTED_VALUE", "fields": "values"}
        found = self._call("GET", f"{self._url}/values/{_range(tab.title)}", query, most_mib=MOST_MIB)
        return [["" if cell is None else str(cell) for cell in row] for row in found.get("values", [])]

    def check_writable(self) -> None:
        """Raises `gsheet_read_only` before long work that would end there."""
        query = {"supportsAllDrives": "true", "fields": "mimeType,capabilities/canEdit"}
        found = self._call("GET", self._drive, query, most_mib=1)
        if found.get("mimeType") != _NATIVE:
            raise InputUnusable("gsheet_not_native")
        if found.get("capabilities", {}).get("canEdit") is not True:
            raise AuthenticationFailed("gsheet_read_only", email=self.email)

    def change(self, *requests: Request) -> None:
        """All of the requests or none, in one step (`batchUpdate`)."""
        body = {"requests": list(requests), "includeSpreadsheetInResponse": False}
        self._call("POST", f"{self._url}:batchUpdate", {"fields": "spreadsheetId"}, body)

    def put(self, tab: Tab, first_row: int, rows: Rows) -> None:
        """Writes rows from this one on (the first is 1). Nothing is read as a number, a date or a formula (`RAW`)."""
        query = {"valueInputOption": "RAW", "fields": "updatedRows"}
        place = _range(tab.title, f"A{first_row}")
        self._call("PUT", f"{self._url}/values/{place}", query, {"majorDimension": "ROWS", "values": rows})

    def _call(
        self, method: str, url: str, query: Mapping[str, str], body: Any = None, *, most_mib: int = 1
    ) -> dict[str, Any]:
        url = f"{url}?{urlencode({'prettyPrint': 'false', **query})}"
        content = b"" if body is None else orjson.dumps(body)
        answer = self._sent(method, url, content, most_mib)
        if answer.status == 401:  # revoked, or this clock and Google's differ: once more, with a new token
            answer = self._sent(method, url, content, most_mib)
        if answer.status != 200:
            raise refusal(answer, email=self.email, writes=method != "GET")
        if answer.is_cut:
            raise InputUnusable("gsheet_too_large", limit=most_mib)
        found = read_json(answer)
        if found is None:  # a proxy's page, perhaps
            raise unavailable({"phrase": "gsheet_broken"})
        return found

    def _sent(self, method: str, url: str, content: bytes, most_mib: int) -> Answer:
        token = self._tokens.token(self._transport)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = self._transport.send(method, url, headers, content, most_mib * MIB)
        if answer.status == 401:
            self._tokens.drop(token)
        return answer


def _range(title: str, cell: str = "") -> str:
    """A range in A1 notation, as a part of an address."""
    name = "'" + title.replace("'", "''") + "'"
    return quote(f"{name}!{cell}" if cell else name, safe="")


def _tab(sheet: dict[str, Any]) -> Tab:
    # Google leaves out what has its default: false, 0 and empty text.
    of = sheet.get("properties", {})
    is_grid = of.get("sheetType", "GRID") == "GRID"
    return Tab(of.get("sheetId", 0), of.get("title", ""), of.get("hidden", False), is_grid, _marks(sheet))


def _marks(found: dict[str, Any]) -> tuple[Mark, ...]:
    entries = found.get("developerMetadata", [])
    return tuple(Mark(e["metadataId"], e.get("metadataKey", ""), e.get("metadataValue", "")) for e in entries)
