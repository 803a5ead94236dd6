"""The tabs that a run makes: all of them or none, and once in all attempts.

They are written hidden, marked with the id of the task, under titles of their own. One last change (`batchUpdate`
applies all of its requests or none) gives them their titles, shows them and marks them as complete. So a crash leaves
tabs that the next attempt recognises: complete ones stay, others are deleted and written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import orjson

from taskyard import InputUnusable, TaskContext

from . import marks, names
from .spreadsheets import Request, Rows, Spreadsheet, Tab

PARTS = ("selected", "remaining")
# Google recommends at most 2 MB a request.
_MOST_BYTES = 1_500_000
# Several runs may choose the same number at the same time.
_TRIES = 5
# Those of the library: light blue behind the header.
_HEAD = {"red": 0.6, "green": 0.8, "blue": 1.0}


def written(context: TaskContext, spreadsheet: Spreadsheet) -> list[Tab]:
    """The tabs that an earlier attempt of this task completed, of the selected and of the remaining people; empty where
    none did. Raises TaskError."""
    by_id = {tab.id: tab for tab in spreadsheet.contents().tabs if marks.is_complete(tab, context.task_id)}
    return [by_id[place] for place in map(_id_of(context), PARTS) if place in by_id]


def write(context: TaskContext, spreadsheet: Spreadsheet, selected: Rows, remaining: Rows) -> list[Tab]:
    """Writes both tables, whose first row is the header, into new tabs; returns these. Raises TaskError."""
    if done := written(context, spreadsheet):
        return done
    tables = dict(zip(_begin(context, spreadsheet, (selected, remaining)), (selected, remaining), strict=True))
    for tab, rows in tables.items():
        for first, piece in _pieces(rows):
            spreadsheet.put(tab, first, piece)
    return _complete(context, spreadsheet, [tab.id for tab in tables])


def _begin(context: TaskContext, spreadsheet: Spreadsheet, tables: Sequence[Rows]) -> list[Tab]:
    """Adds empty tabs, in place of those that an earlier attempt has left."""
    made = [Tab(_id_of(context)(part), f"Taskyard {context.task_id} {part}") for part in PARTS]
    left = [tab for tab in spreadsheet.contents().tabs if marks.is_unfinished(tab, context.task_id)]
    requests: list[Request] = [{"deleteSheet": {"sheetId": tab.id}} for tab in left]
    for tab, rows in zip(made, tables, strict=True):
        requests += [_add(tab, rows), marks.unfinished(tab, context.task_id)]
    spreadsheet.change(*requests)
    return made


def _complete(context: TaskContext, spreadsheet: Spreadsheet, ids: Sequence[int]) -> list[Tab]:
    for tries in range(1, _TRIES + 1):
        contents = spreadsheet.contents()
        titles = names.free_pair(tab.title for tab in contents.tabs)
        requests: list[Request] = []
        for place, title in zip(ids, titles, strict=True):
            requests += [_show(place, title), _colour(place)]
            requests += [marks.complete(tab, context.task_id) for tab in contents.tabs if tab.id == place]
        try:
            spreadsheet.change(*requests)
        except InputUnusable:
            taken = {tab.title for tab in spreadsheet.contents().tabs}
            if tries == _TRIES or taken.isdisjoint(titles):
                raise
        else:
            return [Tab(place, title) for place, title in zip(ids, titles, strict=True)]
    raise AssertionError("the last try returns or raises")


def _id_of(context: TaskContext) -> Callable[[str], int]:
    """The ids of this task's tabs, which the one who adds them may choose: positive, of 31 bits."""

    def of(part: str) -> int:
        return int.from_bytes(sha256(f"{context.task_id} {part}".encode()).digest()[:4]) >> 1

    return of


def _add(tab: Tab, rows: Rows) -> Request:
    # As large as the table: the limit of ten million cells counts empty ones, too.
    size = {"rowCount": len(rows), "columnCount": max(1, *map(len, rows))}
    properties = {"sheetId": tab.id, "title": tab.title, "hidden": True, "gridProperties": size}
    return {"addSheet": {"properties": properties}}


def _show(place: int, title: str) -> Request:
    properties = {"sheetId": place, "title": title, "hidden": False}
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
