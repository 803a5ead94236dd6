"""The calls: tabs, their values, and changes of both.

https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from taskyard import InputUnusable, TaskContext

from .calls import MIB, Calls
from .refusals import Asked
from .settings import GoogleSettings

# In memory, cells of ten characters take seven times as much (235 MiB), and cells of one character 24 times.
MAX_TAB_BYTES = 32 * MIB
_MARK = "developerMetadata(metadataId,metadataKey,metadataValue)"
_CONTENTS = {
    "includeGridData": "false",
    "fields": f"{_MARK},sheets(properties(sheetId,title,sheetType,hidden),{_MARK})",
}
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
    """One spreadsheet, as the service account may use it. `spreadsheet_of` opens it.

    Every method raises TaskError (`gsheet_*` and `spreadsheet_*`: see `refusals` and `transport`), and TaskCancelled
    and TimeLimitExceeded while it waits.
    """

    def __init__(self, calls: Calls, asked: Asked, *, can_edit: bool) -> None:
        self.title = asked.title
        self._calls = calls
        self._asked = asked
        self._can_edit = can_edit
        self._url = _address(calls.settings, asked.spreadsheet_id)

    def check_writable(self) -> None:
        """Raises `spreadsheet_read_only`, before long work that would end there."""
        if not self._can_edit:
            raise self._asked.not_allowed()

    def contents(self) -> Contents:
        """The tabs, in their order."""
        found = self._get(self._url, _CONTENTS, most_bytes=4 * MIB)
        return Contents([_tab(sheet) for sheet in found.get("sheets", [])], _marks(found))

    def tab(self, name: str) -> Tab:
        """Raises `tab_not_found`."""
        for tab in self.contents().tabs:
            if tab.title == name and tab.is_grid:
                return tab
        raise InputUnusable("tab_not_found", tab_name=name, spreadsheet_title=self.title)

    def rows(self, tab: Tab) -> list[list[str]]:
        """The cells as people see them (`FORMATTED_VALUE`, which sortition-algorithms reads, too), without empty rows
        at the end. Rows are as long as their last cell that is not empty."""
        query = {"majorDimension": "ROWS", "valueRenderOption": "FORMATTED_VALUE", "fields": "values"}
        found = self._get(f"{self._url}/values/{_range(tab.title)}", query, most_bytes=MAX_TAB_BYTES)
        return [["" if cell is None else str(cell) for cell in row] for row in found.get("values", [])]

    def change(self, *requests: Request) -> None:
        """All of the requests or none, in one step (`batchUpdate`)."""
        body = {"requests": list(requests), "includeSpreadsheetInResponse": False}
        self._calls.send("POST", f"{self._url}:batchUpdate", {"fields": "spreadsheetId"}, self._asked, body=body)

    def put(self, tab: Tab, first_row: int, rows: Rows) -> None:
        """Writes rows from this one on (the first is 1). Nothing is read as a number, a date or a formula (`RAW`)."""
        url = f"{self._url}/values/{_range(tab.title, f'A{first_row}')}"
        query = {"valueInputOption": "RAW", "fields": "updatedRows"}
        self._calls.send("PUT", url, query, self._asked, body={"majorDimension": "ROWS", "values": rows})

    def _get(self, url: str, query: Mapping[str, str], *, most_bytes: int) -> dict[str, Any]:
        return self._calls.send("GET", url, query, self._asked, most_bytes=most_bytes)


def spreadsheet_of(context: TaskContext, spreadsheet_id: str) -> Spreadsheet:
    """Asks Drive what the file is, and whether it may be changed. Raises TaskError: `spreadsheet_not_found`,
    `spreadsheet_not_shared`, `not_native_gsheet`, `gsheet_*`."""
    calls = Calls(context)
    asked = Asked(spreadsheet_id, "", calls.email)
    url = f"{calls.settings.selection_google_drive_url}/drive/v3/files/{quote(spreadsheet_id, safe='')}"
    query = {"supportsAllDrives": "true", "fields": "mimeType,name,capabilities/canEdit"}
    try:
        found = calls.send("GET", url, query, asked)
    except InputUnusable:
        # Drive says the same of files that do not exist and of those that are not shared; Sheets tells them apart.
        calls.send("GET", _address(calls.settings, spreadsheet_id), {"fields": "spreadsheetId"}, asked)
        raise
    title, mimetype = str(found.get("name", "")), str(found.get("mimeType", ""))
    if mimetype != _NATIVE:
        raise InputUnusable("not_native_gsheet", file_name=title, mimetype=mimetype)
    can_edit = found.get("capabilities", {}).get("canEdit") is True
    return Spreadsheet(calls, Asked(spreadsheet_id, title or spreadsheet_id, calls.email), can_edit=can_edit)


def _address(settings: GoogleSettings, spreadsheet_id: str) -> str:
    return f"{settings.selection_google_sheets_url}/v4/spreadsheets/{quote(spreadsheet_id, safe='')}"


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
