"""The tabs that a run makes: both or none, and once in all attempts.

They are written hidden, marked with the id of the task, under titles of their own. One last change (`batchUpdate`
applies all of its requests or none) gives them their titles, shows them and marks them as complete. So a crash leaves
tabs that the next attempt recognises: complete ones stay, others are deleted and written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

import orjson

from taskyard import InputUnusable, TaskContext

from . import marks, names
from .spreadsheets import Request, Rows, Spreadsheet, Tab

# With the beginnings of their titles.
PARTS = {"selected": names.SELECTED, "remaining": names.REMAINING}
# Google recommends at most 2 MB a request.
_MOST_BYTES = 1_500_000
# Several runs may choose the same number at the same time.
_TRIES = 5
# Those of the library: light blue behind the header.
_HEAD = {"red": 0.6, "green": 0.8, "blue": 1.0}


def write(context: TaskContext, spreadsheet: Spreadsheet, selected: Rows, remaining: Rows) -> list[Tab]:
    """Writes both tables, whose first row is the header, into new tabs; returns these. A tab that an earlier attempt
    completed is kept as it is, and one that people deleted since is written anew. Raises TaskError."""
    written = _written(context, spreadsheet)
    tables = {part: rows for part, rows in zip(PARTS, (selected, remaining), strict=True) if part not in written}
    if tables:
        for tab, rows in zip(_begin(context, spreadsheet, tables), tables.values(), strict=True):
            for first, piece in _pieces(rows):
                spreadsheet.put(tab, first, piece)
        written |= _complete(context, spreadsheet, list(tables))
    return [written[part] for part in PARTS]


def _written(context: TaskContext, spreadsheet: Spreadsheet) -> dict[str, Tab]:
    """The tabs that an earlier attempt of this task completed, by their part."""
    by_id = {tab.id: tab for tab in spreadsheet.contents().tabs if marks.is_complete(tab, context.task_id)}
    return {part: by_id[place] for part in PARTS if (place := _id_of(context, part)) in by_id}


def _begin(context: TaskContext, spreadsheet: Spreadsheet, tables: Mapping[str, Rows]) -> list[Tab]:
    """Adds empty tabs, in place of those that an earlier attempt has left."""
    made = [Tab(_id_of(context, part), f"Taskyard {context.task_id} {part}") for part in tables]
    left = [tab for tab in spreadsheet.contents().tabs if marks.is_unfinished(tab, context.task_id)]
    requests: list[Request] = [{"deleteSheet": {"sheetId": tab.id}} for tab in left]
    for tab, rows in zip(made, tables.values(), strict=True):
        requests += [_add(tab, rows), marks.unfinished(tab, context.task_id)]
    spreadsheet.change(*requests)
    return made


def _complete(context: TaskContext, spreadsheet: Spreadsheet, parts: Sequence[str]) -> dict[str, Tab]:
    for tries in range(1, _TRIES + 1):
        contents = spreadsheet.contents()
        titles = names.free([PARTS[part] for part in parts], [tab.title for tab in contents.tabs])
        made = {part: Tab(_id_of(context, part), title) for part, title in zip(parts, titles, strict=True)}
        requests: list[Request] = []
        for new in made.values():
            requests += [_show(new), _colour(new.id)]
            requests += [marks.complete(tab, context.task_id) for tab in contents.tabs if tab.id == new.id]
        try:
            spreadsheet.change(*requests)
        except InputUnusable:
            taken = {tab.title for tab in spreadsheet.contents().tabs}
            if tries == _TRIES or taken.isdisjoint(titles):
                raise
        else:
            return made
    raise AssertionError("the last try returns or raises")


def _id_of(context: TaskContext, part: str) -> int:
    """The ids of this task's tabs, which the one who adds them may choose: positive, of 31 bits."""
    return int.from_bytes(sha256(f"{context.task_id} {part}".encode()).digest()[:4]) >> 1


def _add(tab: Tab, rows: Rows) -> Request:
    # As large as the table: the limit of ten million cells counts empty ones, too.
    size = {"rowCount": len(rows), "columnCount": max(1, *map(len, rows))}
    properties = {"sheetId": tab.id, "title": tab.title, "hidden": True, "gridProperties": size}
    return {"addSheet": {"properties": properties}}


def _show(tab: Tab) -> Request:
    properties = {"sheetId": tab.id, "title": tab.title, "hidden": False}
    return {"updateSheetProperties": {"properties": properties, "fields": "title,hidden"}}


def _colour(place: int) -> Request:
    return {
        "repeatCell": {
            "range": {"sheetId": place, "startRowIndex": 0, "endRowIndex": 1},
            "cell": {"userEnteredFormat": {"backgroundColor": _HEAD}},
            "fields": "userEnteredFormat.backgroundColor",
        }
    }


def _pieces(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The rows in pieces of one request each, with the number of the first row."""
    first, size, piece = 1, 0, list[Sequence[str]]()
    for row in rows:
        length = len(orjson.dumps(row)) + 1
        if piece and size + length > _MOST_BYTES:
            yield first, piece
            first, size, piece = first + len(piece), 0, []
        piece.append(row)
        size += length
    yield first, piece
