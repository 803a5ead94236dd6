"""A spreadsheet in memory, and the requests that change it, as the reference of Sheets v4 has them."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any

_IDS = count(1)
_RANGE = re.compile(r"'((?:[^']|'')+)'(?:!A([0-9]+))?")


class Invalid(Exception):
    """INVALID_ARGUMENT, in Google's words."""


@dataclass
class Sheet:
    id: int
    title: str
    hidden: bool = False
    rows: list[list[str]] = field(default_factory=list)
    row_count: int = 1000
    column_count: int = 26
    marks: list[dict[str, Any]] = field(default_factory=list)
    coloured: list[int] = field(default_factory=list)
    kind: str = "GRID"

    def json(self) -> dict[str, Any]:
        properties: dict[str, Any] = {"sheetId": self.id, "title": self.title, "sheetType": self.kind}
        if self.hidden:  # what has its default is left out
            properties["hidden"] = True
        return {"properties": properties, **({"developerMetadata": self.marks} if self.marks else {})}


@dataclass
class Book:
    """`readers`, `editors`: whom it is shared with."""

    id: str
    sheets: list[Sheet] = field(default_factory=list)
    editors: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    marks: list[dict[str, Any]] = field(default_factory=list)
    mime_type: str = "application/vnd.google-apps.spreadsheet"

    def add(self, title: str, rows: list[list[str]] | None = None, **more: Any) -> Sheet:
        sheet = Sheet(next(_IDS) * 7919, title, rows=[list(row) for row in rows or []], **more)
        self.sheets.append(sheet)
        return sheet

    def titles(self, *, hidden: bool = False) -> list[str]:
        """Those that people see, or those that they don't."""
        return [sheet.title for sheet in self.sheets if sheet.hidden is hidden]

    def named(self, title: str) -> Sheet:
        return next(sheet for sheet in self.sheets if sheet.title == title)

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"spreadsheetId": self.id, "sheets": [sheet.json() for sheet in self.sheets]}
        return {**found, **({"developerMetadata": self.marks} if self.marks else {})}

    def values(self, place: str) -> dict[str, Any]:
        """As FORMATTED_VALUE: empty cells and rows at the end are left out."""
        sheet, _ = self._found(place)
        rows = [list(row) for row in sheet.rows]
        for row in rows:
            while row and not row[-1]:
                row.pop()
        while rows and not rows[-1]:
            rows.pop()
        return {"range": place, "majorDimension": "ROWS", **({"values": rows} if rows else {})}

    def update(self, place: str, values: list[list[str]]) -> None:
        sheet, first = self._found(place)
        if first > sheet.row_count:
            size = f"Max rows: {sheet.row_count}, max columns: {sheet.column_count}"
            raise Invalid(f"Range ({place}) exceeds grid limits. {size}")
        last, columns = first - 1 + len(values), max(map(len, values))
        if last > sheet.row_count or columns > sheet.column_count:
            raise Invalid(f"Requested writing within range [{place}], but tried writing to row [{last}]")
        if any(len(cell) > 50_000 for row in values for cell in row):
            raise Invalid("Your input contains more than the maximum of 50000 characters in a single cell.")
        sheet.rows += [[] for _ in range(first - 1 + len(values) - len(sheet.rows))]
        sheet.rows[first - 1 : first - 1 + len(values)] = [list(row) for row in values]

    def _found(self, place: str) -> tuple[Sheet, int]:
        match = _RANGE.fullmatch(place)
        title = match[1].replace("''", "'") if match else ""
        for sheet in self.sheets:
            if match and sheet.title == title and sheet.kind == "GRID":
                return sheet, int(match[2] or 1)
        raise Invalid(f"Unable to parse range: {place}")

    def batch(self, requests: list[dict[str, Any]]) -> None:
        """All or none. Raises Invalid."""
        if not requests:
            raise Invalid("Must specify at least one request.")
        changed = copy.deepcopy(self)
        for number, request in enumerate(requests):
            ((name, body),) = request.items()
            try:
                _REQUESTS[name](changed, body)
            except Invalid as e:
                raise Invalid(f"Invalid requests[{number}].{name}: {e}") from None
        self.sheets, self.marks = changed.sheets, changed.marks

    def sheet(self, place: int) -> Sheet:
        for sheet in self.sheets:
            if sheet.id == place:
                return sheet
        raise Invalid(f"No sheet with id: {place}")

    def check_title(self, title: str, but: Sheet | None = None) -> None:
        if any(s is not but and s.title.casefold() == title.casefold() for s in self.sheets):
            raise Invalid(f'A sheet with the name "{title}" already exists. Please enter another name.')

    def check_visible(self) -> None:
        if not self.titles():
            raise Invalid("You can't remove all the visible sheets in a document.")


def _add_sheet(book: Book, body: dict[str, Any]) -> None:
    of = body["properties"]
    book.check_title(of["title"])
    if any(sheet.id == of["sheetId"] for sheet in book.sheets):
        raise Invalid(f"The sheet id {of['sheetId']} already exists.")
    size = of.get("gridProperties", {})
    sheet = Sheet(of["sheetId"], of["title"], of.get("hidden", False))
    sheet.row_count, sheet.column_count = size.get("rowCount", 1000), size.get("columnCount", 26)
    book.sheets.append(sheet)


def _delete_sheet(book: Book, body: dict[str, Any]) -> None:
    book.sheets.remove(book.sheet(body["sheetId"]))
    book.check_visible()


def _update_sheet(book: Book, body: dict[str, Any]) -> None:
    of = body["properties"]
    sheet = book.sheet(of["sheetId"])
    for name in body["fields"].split(","):
        if name == "title":
            book.check_title(of["title"], but=sheet)
        setattr(sheet, {"title": "title", "hidden": "hidden"}[name], of[name])
    book.check_visible()


def _repeat_cell(book: Book, body: dict[str, Any]) -> None:
    assert body["fields"] == "userEnteredFormat.backgroundColor"
    within = body["range"]
    sheet = book.sheet(within["sheetId"])
    sheet.coloured += range(within["startRowIndex"], within["endRowIndex"])


def _create_metadata(book: Book, body: dict[str, Any]) -> None:
    of = body["developerMetadata"]
    if len(of["metadataKey"]) + len(of["metadataValue"]) > 30_000 or of["visibility"] != "DOCUMENT":
        raise Invalid("The metadata is too large, or has no visibility.")
    made = {"metadataId": next(_IDS), **{name: of[name] for name in ("metadataKey", "metadataValue", "visibility")}}
    place = of["location"]
    (book.marks if place.get("spreadsheet") else book.sheet(place["sheetId"]).marks).append(made)


def _update_metadata(book: Book, body: dict[str, Any]) -> None:
    assert body["fields"] == "metadataValue"
    for found in body["dataFilters"]:
        for marks in [book.marks, *(sheet.marks for sheet in book.sheets)]:
            for mark in marks:
                if mark["metadataId"] == found["developerMetadataLookup"]["metadataId"]:
                    mark["metadataValue"] = body["developerMetadata"]["metadataValue"]


def _delete_metadata(book: Book, body: dict[str, Any]) -> None:
    place = body["dataFilter"]["developerMetadataLookup"]["metadataId"]
    for marks in [book.marks, *(sheet.marks for sheet in book.sheets)]:
        marks[:] = [mark for mark in marks if mark["metadataId"] != place]


_REQUESTS = {
    "addSheet": _add_sheet,
    "deleteSheet": _delete_sheet,
    "updateSheetProperties": _update_sheet,
    "repeatCell": _repeat_cell,
    "createDeveloperMetadata": _create_metadata,
    "updateDeveloperMetadata": _update_metadata,
    "deleteDeveloperMetadata": _delete_metadata,
}
